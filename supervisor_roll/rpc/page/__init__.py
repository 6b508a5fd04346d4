"""The page at /roll/ in supervisord's own HTTP servers: bytes that are ready, and orders."""
