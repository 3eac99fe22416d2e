#!/usr/bin/env python3
"""Uploads a file to a service that mounts a presign.Handler.

    TOKEN=… upload.py https://example.com/uploads photo.jpg

It needs only Python 3.8. It prints the completed upload as JSON.
"""
import json, mimetypes, os, sys, time, urllib.error, urllib.request

MULTIPART_SIZE = 16 << 20  # Files of at least this size are sent as multipart uploads.


def request(method, url, body=None, headers={}, tries=8):
    """Sends a request and returns the response.

    It repeats the request after temporary failures.
    """
    for attempt in range(tries):
        try:
            question = urllib.request.Request(url, body, headers, method=method)
            with urllib.request.urlopen(question, timeout=300) as response:
                return response.headers, response.read()
        except urllib.error.HTTPError as error:
            text, problem = error.read(), {}
            if error.headers.get_content_type() == "application/problem+json":
                problem = json.loads(text)
            wait = problem.get("retry_after") or 0
            if error.code in (429, 500, 502, 503, 504) and not problem:
                wait = min(2 ** attempt, 30)
            if error.code == 412 and headers.get("If-None-Match"):
                return error.headers, text  # The file is stored, but the response was lost.
            if not wait or attempt == tries - 1:
                reason = problem.get("message") or text[:500].decode(errors="replace")
                raise SystemExit(f"{error.code}: {reason}")
        except (urllib.error.URLError, OSError) as error:
            wait = min(2 ** attempt, 30)
            if attempt == tries - 1:
                raise SystemExit(f"{url.split('?')[0]}: {getattr(error, 'reason', error)}")
        time.sleep(wait)


class Service:
    def __init__(self, url, token):
        self.url, self.headers = url.rstrip("/"), {"Authorization": "Bearer " + token}

    def call(self, route, body=None):
        method, headers, data = "GET", dict(self.headers), None
        if body:
            method, data = "POST", json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        return json.loads(request(method, self.url + route, data, headers)[1])

    def upload(self, path):
        name, size, bounds = os.path.basename(path), os.path.getsize(path), self.call("/")
        least, most = bounds["min_size"], bounds["max_size"]
        if not least <= size <= most:
            raise SystemExit(f"the file must have {least} to {most} bytes, got {size}")
        # A type of None is encoded as null, which counts as absent.
        upload = {"filename": name, "size": size, "type": mimetypes.guess_type(name)[0]}
        is_multipart = size >= MULTIPART_SIZE and "multipart" in bounds["methods"]
        upload["method"] = "multipart" if is_multipart else "PUT"
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
            numbers = {"id": granted["id"], "first": number, "last": number}
            url = self.call("/parts/sign", numbers)["urls"][0]
            headers, _ = request("PUT", url, file.read(part_size), {"Content-Type": ""})
            parts.append({"number": number, "etag": headers["ETag"]})
            print(f"{number * part_size * 100 // max(size, number * part_size)} %", file=sys.stderr)
        return self.call("/complete", {"id": granted["id"], "parts": parts})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    service = Service(sys.argv[1], os.environ.get("TOKEN", ""))
    print(json.dumps(service.upload(sys.argv[2]), indent=2))
