"""Health check of the images: exit code 0 when the exporter on this port answers /health with 200.

No curl in the image, and none of the exporter's own imports: this runs every few seconds. An exporter with a
certificate answers TLS only, so that is tried second; whose certificate it is does not matter on loopback.
One that asks for a client's certificate shakes hands and then hangs up: that it does is its sign of life.
"""

import socket
import sys

REQUEST = b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n"


def answers(port: int, *, tls: bool) -> bool:
    """Whether a GET of /health is answered with 200."""
    with socket.create_connection(("127.0.0.1", port), timeout=4) as plain:
        connection = plain
        if tls:
            import ssl

            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = context.wrap_socket(plain)
        try:
            connection.sendall(REQUEST)
            answer = connection.recv(64)
        except ConnectionError:
            answer = b""
        return answer.split(b" ")[1:2] == [b"200"] or (tls and not answer)


def main() -> int:
    port = int(sys.argv[1])
    for tls in (False, True):
        try:
            if answers(port, tls=tls):
                return 0
        except OSError:
            continue
    return 1


if __name__ == "__main__":
    sys.exit(main())
