"""An S3 server, moto's, on a free port of 127.0.0.1.

Makes the bucket that is named on the command line, says the server's address in
one line on standard output, and ends when its standard input does: nothing is
left behind by whoever started it, however that ended.
"""

import os
import sys
import threading
import urllib.request

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from werkzeug.serving import WSGIRequestHandler, make_server


class QuietHandler(WSGIRequestHandler):
    def log_request(self, *_):
        pass


class OneAtATime:
    """moto looks at a put's condition first and puts then, so that of two puts
    at once both may be done. S3 has one of them fail."""

    def __init__(self, app):
        self.app = app
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        with self.lock:
            answer = self.app(environ, start_response)
            try:
                return [b"".join(answer)]
            finally:
                if hasattr(answer, "close"):
                    answer.close()


def end_with_standard_input():
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def main():
    bucket = sys.argv[1]
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server(
        "127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler
    )
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    create = urllib.request.Request(f"{url}/{bucket}", method="PUT")
    urllib.request.urlopen(create, timeout=60).close()
    print(url, flush=True)
    threading.Event().wait()


main()
