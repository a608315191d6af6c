"""The REST plumbing: HTTP on a small server of its own, since os-ken brings none.

One connection is one task of the controller library's hub (a green thread under Ryu, a thread
under os-ken). Requests are checked before anything else sees them: the Host header (so that no
web page can reach a loopback API by a name of its own), type and length of the body.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, unquote, urlsplit

from controller.common.framework import hub

LOG: Final = logging.getLogger("controller.rest")
LONGEST_BODY: Final = 8 << 20
_TYPES: Final = ("application/json", "application/yaml", "application/x-yaml", "text/yaml")


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: HTTPStatus,
        problem: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(problem)
        self.status, self.headers = status, headers or {}
        self.error = {"problem": problem, **more}


@dataclass(frozen=True)
class Request:
    """What a client asks: `parts` are what the route's ``{}`` stood for."""

    parts: tuple[str, ...]
    query: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Reply:
    """What it gets: data that becomes JSON, or text as it is."""

    data: Any
    status: HTTPStatus = HTTPStatus.OK
    type: str = "application/json"


Handle = Callable[[Request], Reply]
Routes = Mapping[tuple[str, str], Handle]
"""What answers which method on which path; ``{}`` in a path stands for any one part."""


class Server:
    """Answers requests by a table of routes.

    Args:
        host, port: where to listen; port 0 lets the system choose one.
        routes: what answers which.
    """

    def __init__(self, host: str, port: int, routes: Routes) -> None:
        self.routes = routes
        self.loopback = ip_address(host).is_loopback
        self._server = hub.StreamServer((host, port), self._serve)
        bound_host, bound_port = self._server.server.getsockname()[:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        self.url = f"http://{shown}:{bound_port}"

    def run(self) -> None:
        """Serve for ever."""
        LOG.info("REST API on %s", self.url)
        self._server.serve_forever()

    def _serve(self, connection: Any, address: Any) -> None:
        try:
            _Handler(connection, address, self)  # type: ignore[arg-type]
        except (ConnectionError, TimeoutError) as error:
            LOG.debug("client %s: %s", address, error)
        finally:
            connection.close()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: str) -> Reply:
        """The reply to one request.

        Raises:
            Refusal: it gets an error.
        """
        self._check_host(headers.get("Host") or "")
        url = urlsplit(target)
        path = tuple(unquote(part) for part in url.path.strip("/").split("/"))
        found = {
            route_method: (handle, parts)
            for (route_method, route), handle in self.routes.items()
            if (parts := _parts(route, path)) is not None
        }
        if not found:
            raise Refusal(HTTPStatus.NOT_FOUND, f"there is no {url.path}")
        if method not in found:
            allow = ", ".join(sorted(found))
            problem = f"{url.path} takes {allow}"
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, problem, {"Allow": allow})
        handle, parts = found[method]
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        return handle(Request(parts, query, body))

    def _check_host(self, host: str) -> None:
        name = urlsplit(f"//{host}").hostname or ""
        if not self.loopback or name == "localhost":
            return
        try:
            if ip_address(name).is_loopback:
                return
        except ValueError:
            pass  # a name: refused just below
        raise Refusal(HTTPStatus.FORBIDDEN, f"the Host header {host!r} is not this address")


def _parts(route: str, path: tuple[str, ...]) -> tuple[str, ...] | None:
    wanted = route.strip("/").split("/")
    if len(wanted) != len(path):
        return None
    if any(want not in ("{}", part) for want, part in zip(wanted, path, strict=True)):
        return None
    return tuple(part for want, part in zip(wanted, path, strict=True) if want == "{}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "controller"
    sys_version = ""
    timeout = 30
    disable_nagle_algorithm = True
    server: Any

    WITH_BODY: ClassVar = ("POST", "PUT")

    def _do(self) -> None:
        try:
            body = self._body() if self.command in self.WITH_BODY else ""
            reply = self.server.answer(self.command, self.path, self.headers, body)
            self._send(reply.status, reply.data, reply.type, {})
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception:  # whatever it is, the client learns that it was not its fault
            LOG.exception("%s %s", self.command, self.path)
            self._refuse(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "a defect: see the log"))

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _do

    def _refuse(self, refusal: Refusal) -> None:
        self._send(refusal.status, {"error": refusal.error}, "application/json", refusal.headers)

    def _body(self) -> str:
        """The body.

        Raises:
            Refusal: it is too long, of no known length or type, or no UTF-8. The connection is
                closed then: what is left of the body would be taken for the next request.
        """
        self.close_connection = True
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "a body needs a Content-Length")
        if int(length) > LONGEST_BODY:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length} bytes: {LONGEST_BODY} at most"
            )
        if self.headers.get_content_type() not in _TYPES:
            problem = f"the Content-Type is none of {', '.join(_TYPES)}"
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem)
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            raise Refusal(HTTPStatus.BAD_REQUEST, "the body ends before its Content-Length")
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"no UTF-8: {error}") from error

    def _send(self, status: HTTPStatus, data: Any, kind: str, headers: Mapping[str, str]) -> None:
        text = data if isinstance(data, str) else json.dumps(data, indent=2) + "\n"
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        LOG.info(format, *args)
