"""What the applications are made of: a policy, the switches that follow it, REST to change it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from controller.common import document as doc
from controller.common.document import Node, PolicyError
from controller.common.flows import Program
from controller.common.framework import (
    CONFIG_DISPATCHER,
    DEAD_DISPATCHER,
    MAIN_DISPATCHER,
    BaseApp,
    hub,
    ofp_event,
    ofproto_v1_3,
    set_ev_cls,
)
from controller.common.rest import Refusal, Reply, Request, Routes, Server
from controller.common.settings import from_environment
from controller.common.switches import Switches, SwitchRefused

LOG: Final = logging.getLogger("controller.app")
_OPENAPI: Final = Path(__file__).resolve().parent.parent / "openapi.yaml"


class Policy(Protocol):
    """What an operator asks for, checked."""

    def compile(self) -> Program:
        """The flows and groups it becomes."""
        ...


class PolicyApp(BaseApp):  # type: ignore[misc]
    """One application. A subclass names its cookie and its sections, and reads its policy."""

    OFP_VERSIONS: ClassVar = [ofproto_v1_3.OFP_VERSION]
    COOKIE: ClassVar[int]
    SECTIONS: ClassVar[tuple[str, ...]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            settings = from_environment()
            self.policy = self.read(settings.document)
        except PolicyError as error:
            raise SystemExit(str(error)) from error
        self.document = settings.document
        self.program = self.policy.compile()
        self.switches = Switches(self.COOKIE)
        self._changing = hub.Semaphore(1)
        self._server = None if settings.rest is None else self._listen(*settings.rest)

    def _listen(self, host: str, port: int) -> Server:
        try:
            return Server(host, port, self.routes())
        except OSError as error:
            raise SystemExit(f"REST on {host}:{port}: {error.strerror or error}") from error

    def start(self) -> Any:
        """Start the event loop, and REST beside it."""
        thread = super().start()
        if self._server is not None:
            hub.spawn(self._server.run)
        return thread

    # -- the switches -----------------------------------------------------------------------------

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def on_features(self, event: Any) -> None:
        """A switch has connected."""
        self.switches.connected(event.msg.datapath, self.program)

    @set_ev_cls(ofp_event.EventOFPStateChange, DEAD_DISPATCHER)
    def on_end(self, event: Any) -> None:
        """A connection has ended."""
        if event.datapath.id is not None:
            self.switches.gone(event.datapath)

    @set_ev_cls(ofp_event.EventOFPBarrierReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_barrier(self, event: Any) -> None:
        """A switch has done all that came before a barrier."""
        self.switches.barrier_passed(event.msg.datapath, event.msg.xid)

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_error(self, event: Any) -> None:
        """A switch has refused something."""
        message = event.msg
        self.switches.error(message.datapath, message.xid, message.type, message.code)

    # -- the policy -------------------------------------------------------------------------------

    def read(self, document: Node) -> Policy:
        """The policy that a document says.

        Raises:
            PolicyError: with the place of what is wrong.
        """
        raise NotImplementedError

    def change(self, edit: Callable[[Node], Node]) -> None:
        """Take another policy over, once every switch has: all of it, or nothing.

        Raises:
            PolicyError: it is wrong.
            SwitchRefused: a switch would not; the old policy is sent again.
        """
        with self._changing:
            document = edit(self.document)
            policy = self.read(document)
            program = policy.compile()
            try:
                self.switches.apply(program)
            except SwitchRefused:
                self.switches.apply(self.program)
                raise
            self.document, self.policy, self.program = document, policy, program
            self.switches.catch_up(program)

    # -- REST -------------------------------------------------------------------------------------

    def routes(self) -> Routes:
        """What REST answers; openapi.yaml describes it."""
        return {
            ("GET", "/openapi.yaml"): self._get_openapi,
            ("GET", "/v1/switches"): self._get_switches,
            ("GET", "/v1/flows"): self._get_flows,
            ("GET", "/v1/policy"): self._get_policy,
            ("PUT", "/v1/policy"): self._put_policy,
            ("GET", "/v1/policy/{}"): self._get_section,
            ("POST", "/v1/policy/{}"): self._post_item,
            ("GET", "/v1/policy/{}/{}"): self._get_item,
            ("PUT", "/v1/policy/{}/{}"): self._put_item,
            ("DELETE", "/v1/policy/{}/{}"): self._delete_item,
        }

    def _get_openapi(self, request: Request) -> Reply:
        return Reply(_OPENAPI.read_text(encoding="utf-8"), type="application/yaml")

    def _get_switches(self, request: Request) -> Reply:
        return Reply({"switches": [switch.data() for switch in self.switches]})

    def _get_flows(self, request: Request) -> Reply:
        program = self.program
        return Reply(
            {
                "flows": [str(each) for each in program.flows],
                "groups": [str(each) for each in program.groups],
            }
        )

    def _get_policy(self, request: Request) -> Reply:
        return Reply(self.document.data())

    def _put_policy(self, request: Request) -> Reply:
        with _answered():
            document = _body(request)
            self.change(lambda _: document)
        return Reply(self.document.data())

    def _get_section(self, request: Request) -> Reply:
        items = doc.items_of(self.document, self._section(request))
        return Reply([item.data() for item in items])

    def _post_item(self, request: Request) -> Reply:
        section = self._section(request)
        with _answered():
            item = _body(request)
            before = request.query.get("before")
            self.change(lambda old: doc.add_item(old, section, item, before))
        return Reply(item.data(), HTTPStatus.CREATED)

    def _get_item(self, request: Request) -> Reply:
        section, name = self._section(request), request.parts[1]
        for item in doc.items_of(self.document, section):
            if doc.item_name(item) == name:
                return Reply(item.data())
        raise Refusal(HTTPStatus.NOT_FOUND, f"there is no {name!r}", path=section)

    def _put_item(self, request: Request) -> Reply:
        section, name = self._section(request), request.parts[1]
        with _answered():
            item = _body(request)
            self.change(lambda old: doc.replace_item(old, section, name, item))
        return Reply(item.data())

    def _delete_item(self, request: Request) -> Reply:
        section, name = self._section(request), request.parts[1]
        with _answered():
            self.change(lambda old: doc.replace_item(old, section, name, None))
        return Reply({"deleted": name})

    def _section(self, request: Request) -> str:
        section = request.parts[0]
        if section not in self.SECTIONS:
            known = ", ".join(self.SECTIONS)
            raise Refusal(HTTPStatus.NOT_FOUND, f"there is no section {section!r}, but {known}")
        return section


def _body(request: Request) -> Node:
    """The document in a request; an empty body is a slip, an empty policy is ``{}``."""
    if not request.body.strip():
        raise PolicyError("the body is empty", file="body")
    return doc.load(request.body, "body")


_STATUS: Final = {
    doc.Conflict: HTTPStatus.CONFLICT,
    doc.Missing: HTTPStatus.NOT_FOUND,
}


@contextmanager
def _answered() -> Iterator[None]:
    """Turns what is wrong with a change into the refusal of the request."""
    try:
        yield
    except PolicyError as error:
        status = _STATUS.get(type(error), HTTPStatus.BAD_REQUEST)
        raise Refusal(status, **error.data()) from error
    except SwitchRefused as error:
        raise Refusal(HTTPStatus.BAD_GATEWAY, str(error)) from error
