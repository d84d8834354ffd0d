# SPDX-License-Identifier: BSD-2-Clause
"""Logging in to a gateway: the server's latest answer decides what is tried next (RFC 4252)."""

from __future__ import annotations

import inspect
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args

from sshgateway import _core, _messages
from sshgateway._exchange import Exchange, exchange_with
from sshgateway._limits import why_not
from sshgateway._login_keys import AGENT_LIST_TIMEOUT, FileKey, Keyring, KeyUnusable, LoginKey
from sshgateway._messages import printable
from sshgateway._status import Status
from sshgateway._userauth import Accepted, ChangeRequest, KeyAccepted, Prompts, Refused, Reply
from sshgateway.agent import Agent, socket_path

__all__ = ["METHODS", "Login", "Method", "Prompt", "Question"]

_log = logging.getLogger(__name__)

Method = Literal["publickey", "keyboard-interactive", "password"]
#: The methods, in ssh_config(5)'s order of PreferredAuthentications.
METHODS: tuple[Method, ...] = get_args(Method)

#: ssh_config(5), IdentityFile; libssh2 has no security keys of its own.
_USUAL_FILES = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")

#: How many keys are offered at once, to save round trips. A server counts each that it refuses
#: (sshd_config's MaxAuthTries), so more would lock out a later key.
_OFFERS_AT_ONCE = 3

#: A server may require up to this many methods.
_MOST_STAGES = 20

Left = Callable[[], float | None]


@dataclass(frozen=True)
class Question:
    """A question to a person during a login.

    - text (str): the prompt, made printable.
    - echo (bool): False if the answer is secret.
    - kind (str): "passphrase", "password", "new password", "keyboard-interactive", or "host key"
      for the question whether a new host key is right; its text has several lines.
    - gateway (str): the asking host, "user@host:port"; for a passphrase the gateway it is for.
    - hop (int): the position of that gateway on the way, from 1.
    - name, instruction (str): the server's heading and explanation (RFC 4256 3.2), made
      printable; often empty. They apply to all prompts of one round.
    - is_first (bool): True for the first question of a round.
    """

    text: str
    echo: bool
    kind: Literal["passphrase", "password", "new password", "keyboard-interactive", "host key"]
    gateway: str = ""
    hop: int = 1
    name: str = ""
    instruction: str = ""
    is_first: bool = True


#: prompt(text, echo) or prompt(text, echo, question) returns the answer; None gives up.
Prompt = Callable[..., str | None]


class LoginInterrupted(Exception):  # noqa: N818
    """The server hung up after several keys were offered at once.

    It may count offers (MaxAuthTries); one key at a time may succeed on a new connection.
    """


class Login:
    """The credentials of one user.

    - username (str): the user to log in as.
    - password (str or None): for the method password, and for the password prompt of
      keyboard-interactive.
    - pkey: a key with Paramiko's interface, or a sequence of them.
    - key_filename (path or sequence of paths): private key files.
    - certificate_filename (path or sequence of paths): certificates for the keys given here, or
      in the agent (ssh_config's CertificateFile); FILE-cert.pub beside a key file is found
      without it.
    - passphrase (str or None): for the key files.
    - allow_agent (bool): use the keys of the agent.
    - identity_agent (path or None): the agent's socket; default: SSH_AUTH_SOCK.
    - look_for_keys (bool): try the usual files of ~/.ssh if no key was given.
    - identities_only (bool): of the agent's keys use only those whose files are given.
    - prompt (callable or None): asks a person; see ``Question``.
    - preferred_authentications (sequence of str): the methods that may be used, in the order in
      which they are tried.
    - number_of_password_prompts (int): how often a person is asked for a password, or for a
      passphrase; 0 asks for nothing.
    """

    def __init__(
        self,
        username: str,
        *,
        password: str | None,
        pkey: Any,
        key_filename: Any,
        certificate_filename: Any = None,
        passphrase: str | None,
        allow_agent: bool,
        identity_agent: Any,
        look_for_keys: bool,
        identities_only: bool,
        prompt: Prompt | None,
        preferred_authentications: Sequence[Method] = METHODS,
        number_of_password_prompts: int = 3,
    ) -> None:
        self.username = username
        self.password = password
        self.pkeys: list[Any] = _as_list(pkey)
        for key in self.pkeys:
            if not (hasattr(key, "asbytes") and hasattr(key, "sign_ssh_data")):
                raise TypeError(
                    "pkey must be a key with Paramiko's interface, or several, not "
                    f"{type(key).__name__}; a file is for key_filename"
                )
        self.files: list[str] = _paths(key_filename)
        self.certificates: list[str] = _paths(certificate_filename)
        use_usual = look_for_keys and not self.files and not self.pkeys
        self.usual_files: list[str] = _paths(_USUAL_FILES if use_usual else None)
        self.passphrase = passphrase
        self.agent_path: str | None = socket_path(identity_agent) if allow_agent else None
        self.identities_only = identities_only
        self.prompt: Prompt | None = prompt if number_of_password_prompts > 0 else None
        self.methods: list[Method] = _known_methods(preferred_authentications)
        self.number_of_password_prompts = number_of_password_prompts

    def run(
        self,
        session: _core.Session,
        gateway: str,
        left: Left,
        *,
        keys_only: bool = False,
        hop: int = 1,
        on_banner: Callable[[str], None] = lambda text: None,
        last_banner: Callable[[], str] = lambda: "",
        offers_at_once: int = _OFFERS_AT_ONCE,
    ) -> str:
        """Log in; return what the server accepted, in words.

        - left: returns the seconds that are left, or None.
        - keys_only: send no password, because the server may be an impostor.
        - on_banner: called with the text of each banner as it arrives.
        - last_banner: returns the last banner, for the error.
        - offers_at_once: how many keys may be offered at once.

        Raises AuthenticationError, LoginInterrupted, or SessionFailed.
        """
        exchange = exchange_with(session, self.username, left, on_banner)
        attempt = _Attempt(self, session, exchange, gateway, left, hop)
        attempt.offers_at_once = offers_at_once
        attempt.on_banner = on_banner
        attempt.last_banner = last_banner
        if keys_only:
            attempt.methods = [name for name in self.methods if name == "publickey"]
        share = _share_of(left())
        limit = AGENT_LIST_TIMEOUT if share is None else min(share, AGENT_LIST_TIMEOUT)
        with Agent(self.agent_path or "", timeout=limit) as agent:
            attempt.prepare_keys(agent if self.agent_path is not None else None)
            return attempt.run()


@dataclass
class _Attempt:
    """One login: the attempts so far, and the server's latest answer."""

    login: Login
    session: _core.Session
    exchange: Exchange
    gateway: str
    left: Left
    hop: int
    offers_at_once: int = _OFFERS_AT_ONCE
    on_banner: Callable[[str], None] = lambda text: None
    last_banner: Callable[[], str] = str
    methods: list[str] = field(default_factory=list)
    #: The methods that can continue, as the server last said; None before it said so.
    can_continue: tuple[str, ...] | None = None
    #: The steps that the server has accepted, in words.
    accepted: list[str] = field(default_factory=list)
    #: The attempts without success, in words, never a secret.
    tried: list[str] = field(default_factory=list)
    #: The request that is not answered yet, in words.
    under_way: str = ""
    #: Prompts that were not answered.
    unanswered: list[str] = field(default_factory=list)
    #: How often each method was used since the last partial success.
    uses: dict[str, int] = field(default_factory=dict)
    #: The passphrases that a person typed, by key file, and how many of them were wrong.
    passphrases: dict[str, str | None] = field(default_factory=dict)
    wrong_passphrases: dict[str, int] = field(default_factory=dict)
    #: Key files whose passphrase is missing or may be wrong.
    locked_keys: list[str] = field(default_factory=list)
    #: Keys that were found and not tried yet.
    waiting: list[LoginKey] = field(default_factory=list)
    #: Keys that the server did not judge, because it did not take the method then.
    put_back: list[LoginKey] = field(default_factory=list)
    #: With the system's libssh2: requests that may be accepted in part, as (words, line of
    #: ``tried``), since the server last named its methods.
    unclear: list[tuple[str, str]] = field(default_factory=list)
    #: The same for keys, since the methods last changed.
    unclear_keys: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.methods = self.methods or list(self.login.methods)

    # ---- The engine ---------------------------------------------------------

    def run(self) -> str:
        try:
            self.exchange.begin()
            if not self._can_begin_without_asking():
                self._take(self.exchange.none(), "none")
            while not self._is_done:
                step = self._choose()
                if step is None and not self._learn_methods():
                    raise self._failed()
                if step is not None:
                    step()
            return " and ".join(self.accepted)
        except _messages.SessionFailed as failure:
            raise self._ended(failure) from None
        finally:
            self.passphrases.clear()

    _is_done = False

    def _can_begin_without_asking(self) -> bool:
        """True if a key can be tried at once: then the answer to "none" would change nothing.

        No passphrase is asked for before the server has named its methods.
        """
        if not self.exchange.reports_methods or self.methods[:1] != ["publickey"]:
            return False
        key = self._peek_key()
        return key is not None and (key.known_blob is not None or not key.needs_person)

    def _may_use(self, method: str) -> bool:
        return self.can_continue is None or method in self.can_continue

    def _choose(self) -> Callable[[], object] | None:
        """The next step; None if nothing is left that the server would take."""
        for method in self.methods:
            if not self._may_use(method):
                continue
            if method == "publickey" and self._peek_key() is not None:
                return self._use_keys
            if method == "publickey" or not self._may_repeat(method):
                continue
            if self.unclear and self.uses.get(method):
                # The server may want another method now. A person is not asked in vain.
                return self._learn_methods
            return self._use_password if method == "password" else self._use_interactive
        return None

    def _may_repeat(self, method: str) -> bool:
        """A given password is sent once; a person is asked again.

        keyboard-interactive is tried once even without both: a server may ask nothing, and wait
        for an approval elsewhere. If it does ask, the error names the prompt. (libssh2's own
        exchange would send an empty answer then, so it is not tried.)
        """
        login = self.login
        uses = self.uses.get(method, 0)
        given = int(login.password is not None)
        asked = login.number_of_password_prompts if login.prompt is not None else 0
        is_silent = login.prompt is None and login.number_of_password_prompts > 0
        can_give_up = self.exchange.reports_methods and method == "keyboard-interactive"
        least = int(is_silent and can_give_up)
        return uses < max(given + asked, least)

    def _learn_methods(self) -> bool:
        """Ask for the methods, if the server's answer may change what can be tried.

        That is so if no request was sent yet; and with the system's libssh2, once all methods
        are used up, because a change of the list means that something was accepted in part.
        """
        before = self.can_continue
        if before is not None and not self.unclear:
            return False
        self._take(self.exchange.none(), "none")
        if before is not None and self.can_continue != before:
            self._accept_unclear()
            self._begin_next_stage()
        self.unclear.clear()
        return self._is_done or self.can_continue != before

    def _accept_unclear(self) -> None:
        """The methods have changed, so the server accepted the keys, or one other request."""
        found = self.unclear_keys or self.unclear
        for _, line in found:
            self.tried.remove(line)
        words = [what for what, _ in found]
        self.accepted += words if self.unclear_keys else [" or ".join(words)]
        self.unclear_keys.clear()

    def _take(self, reply: Reply, what: str) -> bool:
        """Note the server's answer. True if it refused, and *what* counts as tried."""
        self.under_way = ""
        if isinstance(reply, Accepted):
            _log.debug("%s: accepted", what)
            self.accepted.append(what)
            self._is_done = True
            return False
        assert isinstance(reply, Refused)
        _log.debug("%s: %s", what, "accepted in part" if reply.is_partial else "refused")
        if reply.can_continue is not None:
            self.can_continue = reply.can_continue
        if reply.is_partial:
            self.accepted.append(what)
            self._begin_next_stage()
            return False
        return what != "none"

    def _begin_next_stage(self) -> None:
        """After a partial success every method may be used again, as in OpenSSH."""
        if len(self.accepted) > _MOST_STAGES:
            text = f"the server wanted more than {_MOST_STAGES} methods, one after the other"
            raise _messages.SessionFailed(Status.SSH, 0, 0, text)
        self.uses.clear()
        self.waiting = [*self.put_back, *self.waiting]
        self.put_back = []

    # ---- publickey ----------------------------------------------------------

    def prepare_keys(self, agent: Agent | None) -> None:
        login = self.login
        self.agent = agent
        self.keyring = Keyring(
            pkeys=login.pkeys,
            files=login.files,
            certificates=login.certificates,
            usual_files=login.usual_files,
            passphrase=login.passphrase,
            agent=agent,
            identities_only=login.identities_only,
            note=self.tried.append,
        )
        self._source: Iterator[LoginKey] = iter(self.keyring)

    def _peek_key(self) -> LoginKey | None:
        while not self.waiting:
            key = next(self._source, None)
            if key is None:
                return None
            if not self._is_beyond_libssh2(key) and self._can_be_unlocked(key):
                self.waiting.append(key)
        return self.waiting[0]

    def _can_be_unlocked(self, key: LoginKey) -> bool:
        if not isinstance(key, FileKey) or not key.file.is_encrypted or key.passphrase is not None:
            return True
        if self.login.prompt is None:
            self._refused_key(key, "it needs a passphrase")
            self.locked_keys.append(key.file.path)
            return False
        return True

    def _refused_key(self, key: LoginKey, why: str) -> None:
        self.tried.append(f"{key.what}: {why}")

    def _use_keys(self) -> None:
        """Sign by the next key, or offer the next few."""
        key = self.waiting[0]
        if not key.needs_person or key.known_blob is None:
            self.waiting.pop(0)
            self._sign(key)
            return
        offered = self._take_offers()
        if not offered:
            return
        self.under_way = ", ".join(key.what for key in offered)
        try:
            replies = self.exchange.offer(offered)
        except _messages.SessionFailed as failure:
            if len(offered) > 1 and failure.status == Status.LOST:
                raise LoginInterrupted from failure
            raise
        answered = list(zip(offered, replies, strict=False))
        for key, reply in answered:
            if not isinstance(reply, KeyAccepted) and self._take(reply, key.what):
                self._judge(key, reply)
        welcome = [key for key, reply in answered if isinstance(reply, KeyAccepted)]
        while welcome and not self._is_done and self._may_use("publickey"):
            self._sign(welcome.pop(0))
        self.waiting = [*welcome, *self.waiting]  # the server may want one of them later

    def _take_offers(self) -> list[LoginKey]:
        """The next keys to offer: several of the agent's, up to the number for one time."""
        # Servers other than OpenSSH's may drop a request when the next one arrives early:
        # asyncssh does.
        version = self.session.methods["server_version"]
        is_patient = self.exchange.reports_methods and "OpenSSH" in version
        is_file = isinstance(self.waiting[0], FileKey)
        most = self.offers_at_once if is_patient and not is_file else 1
        taken: list[LoginKey] = []
        while len(taken) < most and (key := self._peek_key()) is not None:
            if not key.needs_person or (taken and isinstance(key, FileKey)):
                break
            self.waiting.pop(0)
            try:
                key.algorithm(self.session.server_sig_algs)
            except KeyUnusable as error:
                self._refused_key(key, str(error))
            else:
                taken.append(key)
        return taken

    def _sign(self, key: LoginKey) -> None:
        if self.agent is not None:
            self.agent.timeout = _share_of(self.left())
        while self._unlock(key):
            try:
                key.prepare(self.session)
                self.under_way = key.what
                reply = self.exchange.sign(key)
            except KeyUnusable as error:
                if error.is_locked and self._may_unlock_again(key):
                    continue
                self._refused_key(key, str(error))
                self.waiting = [*self.keyring.spare(key), *self.waiting]
                return
            if self._take(reply, key.what):
                self._judge(key, reply)
            return

    def _judge(self, key: LoginKey, reply: Reply) -> None:
        """A refusal is none of the key itself if the server did not take the method."""
        if self.can_continue is not None and "publickey" not in self.can_continue:
            self.put_back.append(key)
            return
        self._note_refusal(key.what, reply)
        if isinstance(reply, Refused) and reply.is_unclear:
            self.unclear_keys.append(self.unclear[-1])
            # More keys would be refused, and counted, if the server wants another method now.
            self._learn_methods()

    def _unlock(self, key: LoginKey) -> bool:
        """Ask for the passphrase of a file that needs one. False if it was not given."""
        if not isinstance(key, FileKey) or not key.file.is_encrypted or key.passphrase is not None:
            return True
        path = key.file.path
        if path not in self.passphrases:
            text = f"Enter passphrase for key '{printable(path)}': "
            self.passphrases[path] = self._ask(Question(text, False, "passphrase"))
        key.passphrase = self.passphrases[path]
        if key.passphrase is None:
            self._refused_key(key, "its passphrase was not given")
            self.locked_keys.append(path)
        return key.passphrase is not None

    def _may_unlock_again(self, key: LoginKey) -> bool:
        """After a key could not be read: True if a person may have mistyped its passphrase."""
        assert isinstance(key, FileKey)
        path = key.file.path
        if self.passphrases.pop(path, None) is not None:
            self.wrong_passphrases[path] = self.wrong_passphrases.get(path, 0) + 1
            if self.wrong_passphrases[path] < self.login.number_of_password_prompts:
                key.passphrase = None
                return True
        self.locked_keys.append(path)
        return False

    def _is_beyond_libssh2(self, key: LoginKey) -> bool:
        """Note why the libssh2 in use cannot log in by a key, if it cannot."""
        why = why_not(key.known_blob) if key.known_blob is not None else None
        if why is not None:
            self._refused_key(key, why)
        return why is not None

    # ---- password -----------------------------------------------------------

    def _use_password(self) -> None:
        uses = self.uses["password"] = self.uses.get("password", 0) + 1
        password = self.login.password if uses == 1 else None
        if password is None:
            text = f"{self.gateway}'s password: "
            password = self._ask(Question(text, False, "password"))
        if password is None:
            self.uses["password"] += self.login.number_of_password_prompts
            self._note_unanswered(text)
            self.tried.append(f"password ({self.unanswered[-1]})")
            return
        self.under_way = "password"
        reply = self.exchange.password(password, self._new_password)
        if isinstance(reply, ChangeRequest):
            words = printable(reply.prompt)
            self.tried.append(f"password (the password has expired{words and f': {words}'})")
            self.uses["password"] += self.login.number_of_password_prompts
        elif self._take(reply, "password"):
            self._note_refusal("password", reply)

    def _new_password(self, prompt: str) -> str | None:
        for _ in range(3):
            text = printable(prompt) or "Enter a new password: "
            first = self._ask(Question(text, False, "new password"))
            if first is None:
                return None
            again = self._ask(Question("Retype the new password: ", False, "new password"))
            if again is None:
                return None
            if first == again:
                return first
        return None

    # ---- keyboard-interactive -----------------------------------------------

    def _use_interactive(self) -> None:
        method: Final = "keyboard-interactive"
        uses = self.uses[method] = self.uses.get(method, 0) + 1
        passwords = [self.login.password] if uses == 1 and self.login.password is not None else []

        def answer(prompts: Prompts) -> list[str] | None:
            if not prompts.prompts:
                self._show(prompts)
            answers: list[str] = []
            is_first = True
            for text, echo in prompts.prompts:
                if passwords and not echo and asks_for_password(text):
                    answers.append(passwords.pop())
                    continue
                found = self._ask(
                    Question(
                        printable_lines(text),
                        echo,
                        method,
                        name=printable_lines(prompts.name),
                        instruction=printable_lines(prompts.instruction),
                        is_first=is_first,
                    )
                )
                is_first = False
                if found is None:
                    self._note_unanswered(text)
                    return None
                answers.append(found)
            return answers

        self.under_way = method
        reply = self.exchange.interactive(answer)
        if isinstance(reply, Prompts):
            self.uses[method] += self.login.number_of_password_prompts
            self.tried.append(f"{method} ({self.unanswered[-1]})")
        elif self._take(reply, method):
            self._note_refusal(method, reply)

    def _show(self, prompts: Prompts) -> None:
        """Show a round without prompts as a banner, because a person may have to act on it."""
        texts = (prompts.name, prompts.instruction)
        if words := "".join(text.removesuffix("\n") + "\n" for text in texts if text):
            self.on_banner(words)

    def _note_unanswered(self, prompt: str) -> None:
        words = printable(prompt) or "an empty prompt"
        self.unanswered.append(f"the prompt {words!r} was not answered")

    def _note_refusal(self, what: str, reply: Reply) -> None:
        assert isinstance(reply, Refused)
        self.tried.append(f"{what} ({reply.reason})" if reply.reason else what)
        if reply.is_unclear:
            self.unclear.append((what, self.tried[-1]))

    def _ask(self, question: Question) -> str | None:
        """Ask a person, if there is one to ask."""
        if self.login.prompt is None:
            return None
        question = replace(question, gateway=self.gateway, hop=self.hop)
        answer = ask(self.login.prompt, question)
        if answer is not None and not isinstance(answer, str):
            raise TypeError(f"prompt must return a str or None, not {type(answer).__name__}")
        return answer

    # ---- The end ------------------------------------------------------------

    def _failed(self, failure: _messages.SessionFailed | None = None) -> Exception:
        for key in self.put_back:
            self._refused_key(key, "the server did not accept publickey at that point")
        return _messages.authentication_failed(
            self.gateway,
            self.tried,
            self.can_continue or (),
            self.locked_keys,
            accepted_in_part=self.accepted,
            note=_NOT_TOLD if self.unclear_keys else "",
            hung_up=failure.text if failure is not None else None,
            banner=self.last_banner(),
        )

    def _ended(self, failure: _messages.SessionFailed) -> Exception:
        """The server hung up: after too many attempts, perhaps."""
        if failure.status != Status.LOST:
            return failure
        if self.under_way:
            self.tried.append(self.under_way)
        if not (self.tried or self.accepted):
            return failure
        return self._failed(failure)


def _share_of(left: float | None) -> float | None:
    """Seconds that an agent may take, so that the keys after it can be tried as well."""
    return None if left is None else left / 2


def ask(prompt: Prompt, question: Question) -> str | None:
    """Call a prompt, which takes two arguments or three."""
    try:
        inspect.signature(prompt).bind(question.text, question.echo, question)
    except TypeError:
        return prompt(question.text, question.echo)
    except ValueError:  # its signature cannot be found out
        return prompt(question.text, question.echo)
    return prompt(question.text, question.echo, question)


def printable_lines(text: str) -> str:
    """A server's text for a terminal: control characters become octal escapes, as OpenSSH
    shows them; line feeds and tabs stay."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "".join(f"\\{b:03o}" for b in c.encode())
        for c in text.replace("\r\n", "\n")
    )


#: "Password" in the languages that PAM is translated to most.
_PASSWORD = re.compile(
    r"password|passwort|kennwort|passwd|mot de passe|contrase|senha|wachtwoord|has[lł]o|heslo"
    r"|парол|jelsz|l[oö]senord|salasana|adgangskode|passord|parol|şifre|sifre"
    r"|パスワード|密码|密碼|암호|비밀번호",
    re.IGNORECASE,
)
_CODE = re.compile(r"one[- ]?time|verification|token|\bcode\b|\botp\b|new password", re.IGNORECASE)


def asks_for_password(prompt: str) -> bool:
    """True if a hidden prompt asks for the password and not for a second factor."""
    return _PASSWORD.search(prompt) is not None and _CODE.search(prompt) is None


_NOT_TOLD = (
    f"libssh2 {_core.LIBSSH2_VERSION} does not tell a key that was accepted in part, by a server "
    "that wants two, from one that was refused"
)


def _known_methods(names: Method | Sequence[Method]) -> list[Method]:
    methods = [names] if isinstance(names, str) else list(names)
    for name in methods:
        if name not in METHODS:
            raise ValueError(
                f"preferred_authentications must be of {', '.join(METHODS)}, not {name!r}"
            )
    return methods


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return list(value)
    return [value]


def _paths(value: Any) -> list[str]:
    return [os.path.expanduser(os.fspath(path)) for path in _as_list(value)]
