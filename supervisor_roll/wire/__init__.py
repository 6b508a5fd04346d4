"""Pure codecs of what crosses between our processes. No I/O: bytes and text in, values out."""
