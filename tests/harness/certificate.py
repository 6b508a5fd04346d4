"""A certificate for localhost that signs itself, and its key. Nothing else ever trusts it."""

from __future__ import annotations

import ssl

#: Valid from 2020 to 2120. Made with `openssl ecparam`, `openssl req` and `openssl ca`.
PEM = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgKxqR2LaSXrdGMogv
eIiSVdu6zjv0ljEQgB3x5fmVz6WhRANCAARzxwIjvyXeFzc5PSQxB4RNTQXS1BTg
YtjZw4nrooX7tySAIUFP4xWh766ECdCzMY2fbp6fSMKQ/Jl8Ec+q6OYk
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBYTCCAQegAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHPHAiO/Jd4XNzk9
JDEHhE1NBdLUFOBi2NnDieuihfu3JIAhQU/jFaHvroQJ0LMxjZ9unp9IwpD8mXwR
z6ro5iSjSDBGMBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAPBgNVHRMBAf8EBTADAQH/
MB0GA1UdDgQWBBSTQTnG5kc3dZ7W2gKJBgG/JWz1nDAKBggqhkjOPQQDAgNIADBF
AiEAn8ZC+gbQx0UDdjieqEnqoRNTZu4HcbbBa9YhF9m6nj8CIB+DLG1eM1iB+5nx
8Ir39/WLeyvJRXQGNcR3SDTlb+C1
-----END CERTIFICATE-----
"""


def trusting() -> ssl.SSLContext:
    """A client's context that believes this certificate and no other."""
    return ssl.create_default_context(cadata=PEM[PEM.index("-----BEGIN CERTIFICATE") :])
