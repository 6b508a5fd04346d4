"""The outside, each part behind a narrow object that is passed in."""
