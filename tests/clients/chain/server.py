"""A container's endpoint, EC2's metadata service and STS on one port of loopback. Each key that they give
ends as what it was asked for with: a path, a token, or the key that signed."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

END = "2099-01-01T00:00:00Z"

ASSUMED = """<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
<AssumedRoleUser><Arn>arn:aws:sts::000000000000:assumed-role/r/s</Arn>
<AssumedRoleId>AROAEXAMPLE:s</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
<SessionToken>token</SessionToken><Expiration>{end}</Expiration></Credentials>
</{action}Result><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></{action}Response>"""


def start():
    """The address of a server that lives as long as this process."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that leaves amid an answer is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        role = "/latest/meta-data/iam/security-credentials/"
        if self.path == role:
            self.answer("role", "text/plain")
        elif self.path == f"{role}role":
            self.credentials("META", Code="Success", Type="AWS-HMAC", LastUpdated="2026-01-01T00:00:00Z")
        elif re.fullmatch(r"/C\d{3}", self.path):
            self.credentials(self.path[1:])
        else:
            self.answer("", "text/plain", 404)

    def do_PUT(self):
        seconds = self.headers["x-aws-ec2-metadata-token-ttl-seconds"] or "21600"
        self.answer("token", "text/plain", x_aws_ec2_metadata_token_ttl_seconds=seconds)

    def do_POST(self):
        body = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        action = body["Action"][0]
        if "RoleArn" not in body:
            self.answer("no role", "text/plain", 400)
            return
        if action == "AssumeRoleWithWebIdentity":
            key = f"ASIAEXAMPLE00000{body['WebIdentityToken'][0]}"
        else:
            signer = re.search(r"Credential=[^/]*(.{4})/", self.headers["authorization"])
            key = f"ASIAROLE00000000{signer[1]}"
        self.answer(ASSUMED.format(action=action, key=key, end=END), "text/xml")

    def credentials(self, end, **more):
        key = f"ASIAEXAMPLE00000{end}"
        document = {"AccessKeyId": key, "SecretAccessKey": "secret", "Token": "token"}
        self.answer(json.dumps(document | {"Expiration": END} | more), "application/json")

    def answer(self, text, kind, status=200, **headers):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
