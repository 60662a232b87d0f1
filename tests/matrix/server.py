"""An HTTP server for the tables of uri and get_url: its own answers under a few paths, files of its directory otherwise."""
import base64
import http.server
import json
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    """Answers by the first part of the path."""

    protocol_version = "HTTP/1.1"

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return "matrix"

    def any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        first, _, rest = self.path.lstrip("/").partition("/")
        if first == "status":
            self.answer(int(rest), b"status " + rest.encode(), Content_Type="text/plain")
        elif first == "echo":
            names = ("Content-Type", "X-Given", "Accept", "Authorization", "Cookie", "Cache-Control")
            seen = {n: self.headers[n] for n in names if self.headers[n]}
            told = {"method": self.command, "path": self.path, "body": body.decode("latin-1"), "headers": seen}
            self.answer(200, json.dumps(told).encode(), Content_Type="application/json")
        elif first == "redirect":
            self.answer(int(rest), Location="/echo/redirected")
        elif first == "auth":
            wanted = "Basic " + base64.b64encode(b"joe:secret").decode()
            if self.headers.get("Authorization") == wanted:
                self.answer(200, b"welcome", Content_Type="text/plain")
            else:
                self.answer(401, b"who?", WWW_Authenticate='Basic realm="matrix"')
        elif first == "cookie":
            self.answer(200, b"cookies", Set_Cookie="taste=sweet", Content_Type="text/plain")
        elif first == "json":
            self.answer(200, b'{"a": [1, 2, {"b": null}]}', Content_Type="application/json; charset=utf-8")
        elif first == "broken":
            self.answer(200, b'{"a": ', Content_Type="application/json")
        elif first == "nosuch":
            self.answer(404)
        elif self.command in ("GET", "HEAD"):
            super().do_GET() if self.command == "GET" else super().do_HEAD()
        else:
            self.answer(405)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = any

    def log_message(self, *_) -> None:
        """Nobody reads it."""


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
