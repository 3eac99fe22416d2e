#!/usr/bin/env python3
"""Uploads a file to a service that mounts a presign.Handler.

    TOKEN=… upload.py https://example.com/uploads photo.jpg

It needs only Python 3.8. It prints the completed upload as JSON.
"""
import json, mimetypes, os, sys, time, urllib.error, urllib.request

MULTIPART_SIZE = 16 << 20  # Files of at least this size are sent as multipart uploads.


def request(method, url, body=None, headers={}, tries=8):
    """Sends a request and returns the response. Repeats it after temporary failures."""
    for attempt in range(tries):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=300) as response:
                return response.headers, response.read()
        except urllib.error.HTTPError as error:
            text = error.read()
            problem = json.loads(text) if error.headers.get_content_type() == "application/problem+json" else {}
            wait = problem.get("retry_after") or (min(2 ** attempt, 30) if error.code in (429, 500, 502, 503, 504) and not problem else 0)
            if error.code == 412 and headers.get("If-None-Match"):
                return error.headers, text  # The file is stored, but the response was lost.
            if not wait or attempt == tries - 1:
                raise SystemExit(f"{error.code}: {problem.get('message') or text[:500].decode(errors='replace')}")
        except (urllib.error.URLError, OSError) as error:
            wait = min(2 ** attempt, 30)
            if attempt == tries - 1:
                raise SystemExit(f"{url.split('?')[0]}: {getattr(error, 'reason', error)}")
        time.sleep(wait)


class Service:
    def __init__(self, url, token):
        self.url, self.headers = url.rstrip("/"), {"Authorization": "Bearer " + token}

    def call(self, route, body=None):
        headers = dict(self.headers, **{"Content-Type": "application/json"}) if body else self.headers
        data = json.dumps(body).encode() if body else None
        return json.loads(request("POST" if body else "GET", self.url + route, data, headers)[1])

    def upload(self, path):
        name, size, bounds = os.path.basename(path), os.path.getsize(path), self.call("/")
        if not bounds["min_size"] <= size <= bounds["max_size"]:
            raise SystemExit(f"the file must have {bounds['min_size']} to {bounds['max_size']} bytes, got {size}")
        upload = {"filename": name, "size": size, "type": mimetypes.guess_type(name)[0]}  # None is encoded as null, which means no type.
        upload["method"] = "multipart" if size >= MULTIPART_SIZE and "multipart" in bounds["methods"] else "PUT"
        granted = self.call("/", upload)
        with open(path, "rb") as file:
            if granted["method"] == "PUT":
                headers = dict({"Content-Length": str(size)}, **granted["headers"])
                request("PUT", granted["url"], file.read(), headers)
                return self.call("/complete", {"key": granted["key"]})
            try:
                return self.send_parts(file, size, granted)
            except BaseException:
                self.call("/abort", {"id": granted["id"]})
                raise

    def send_parts(self, file, size, granted):
        part_size, parts = granted["part_size"], []
        for number in range(1, -(-size // part_size) + 1):
            signed = self.call("/parts/sign", {"id": granted["id"], "first": number, "last": number})
            headers, _ = request("PUT", signed["urls"][0], file.read(part_size), {"Content-Type": ""})
            parts.append({"number": number, "etag": headers["ETag"]})
            print(f"{number * part_size * 100 // max(size, number * part_size)} %", file=sys.stderr)
        return self.call("/complete", {"id": granted["id"], "parts": parts})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    print(json.dumps(Service(sys.argv[1], os.environ.get("TOKEN", "")).upload(sys.argv[2]), indent=2))
