# SPDX-License-Identifier: BSD-2-Clause
"""Prompts of a login: keyboard-interactive, the method password, and changes of a password."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from sshgateway import AuthenticationError, Gateway
from sshgateway.login import Question
from support import gateways, pam
from support.auth_script import (
    ACCEPT,
    AuthScript,
    ChainServer,
    Request,
    change_request,
    failure,
)
from support.gateways import opens
from support.scripted import FAILURE
from support.sshd import PrivateSshd

SECRET = "open sesame"
Rounds = Sequence[Sequence[tuple[str, bool, str]]]


def interactive(sshd: PrivateSshd, *rounds: Sequence[tuple[str, bool, str]]) -> ChainServer:
    return ChainServer(sshd, "keyboard-interactive", password=SECRET, rounds=rounds)


def refusal(gateway: Gateway) -> AuthenticationError:
    return gateways.refusal(gateway, SECRET)


class Person:
    """Answers from a list, and notes the questions."""

    def __init__(self, *answers: str | None) -> None:
        self._answers = list(answers)
        self.questions: list[Question] = []

    def __call__(self, text: str, echo: bool, question: Question) -> str | None:
        assert (text, echo) == (question.text, question.echo)
        self.questions.append(question)
        return self._answers.pop(0)


# ---- Rounds ------------------------------------------------------------------------------

ROUNDS = {
    "one prompt": [[("Code: ", False, "1")]],
    "several prompts": [[("Name: ", True, "n"), ("Code: ", False, "1"), ("Colour: ", True, "")]],
    "several rounds": [[("Code: ", False, "1")], [("Code: ", False, "2")], [("Ok? ", True, "y")]],
    "a round without a prompt": [[], [("Code: ", False, "1")], []],
    "no prompt at all": [[]],
    "empty answers": [[("Press Enter: ", False, ""), ("Again: ", True, "")]],
    "an empty prompt": [[("", False, "1")]],
    "the answer is not ASCII": [[("Farbe: ", True, "gr\u00fcn \u20ac")]],
}


@pytest.mark.parametrize("rounds", ROUNDS.values(), ids=ROUNDS)
def test_rounds_of_prompts(sshd, exchange, rounds: Rounds) -> None:
    prompts = [prompt for each in rounds for prompt in each]
    person = Person(*(answer for _, _, answer in prompts))
    with interactive(sshd, *rounds) as server:
        assert opens(server.gateway(password=None, prompt=person))
        assert server.answers == [[answer for _, _, answer in each] for each in rounds]
    assert [(q.text, q.echo) for q in person.questions] == [(p[0], p[1]) for p in prompts]


def test_a_question_says_who_asks(sshd, exchange) -> None:
    person = Person("1")
    with interactive(sshd, [("Code: ", False, "1")]) as server:
        gateway = server.gateway(password=None, prompt=person)
        assert opens(gateway)
    expected = Question(
        text="Code: ",
        echo=False,
        kind="keyboard-interactive",
        gateway=str(gateway),
        hop=1,
        name="The name",
        instruction="The instruction",
    )
    assert person.questions == [expected]


def test_a_question_says_which_hop_asks(sshd, exchange) -> None:
    person = Person("1")
    with interactive(sshd, [("Code: ", False, "1")]) as server, gateways.to(sshd) as first:
        assert opens(server.gateway(password=None, prompt=person, gateway=first))
    assert person.questions[0].hop == 2


PROMPTS = {
    "two arguments": lambda text, echo: "1",
    "three arguments": lambda text, echo, question: "1",
    "a default": lambda text, echo=False, question=None: "1" if question else None,
    "any number": lambda *given: "1" if len(given) == 3 else None,
    "a default that is something else": lambda text, echo, *, extra=None: "1",
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_the_callables_that_a_prompt_may_be(sshd, exchange, prompt) -> None:
    with interactive(sshd, [("Code: ", False, "1")]) as server:
        assert opens(server.gateway(password=None, prompt=prompt))


@pytest.mark.parametrize("answer", [b"1", 1, ["1"]], ids=repr)
def test_an_answer_that_is_no_str(sshd, exchange, answer) -> None:
    with interactive(sshd, [("Code: ", False, "1")]) as server:
        gateway = server.gateway(password=None, prompt=lambda text, echo: answer)
        with pytest.raises(TypeError, match="must return a str or None"):
            gateway.open()
        assert not gateway.is_connected


def test_an_exception_of_the_prompt_comes_out(sshd, exchange) -> None:
    with interactive(sshd, [("Code: ", False, "1"), ("Code: ", False, "2")]) as server:
        gateway = server.gateway(password=None, prompt=lambda text, echo: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gateway.open()
        assert not gateway.is_connected


def test_control_characters_of_a_prompt_are_escaped(sshd, exchange) -> None:
    person = Person("1")
    with interactive(sshd, [("\x1b[2J\x07Co\u202ede\t: ", False, "1")]) as server:
        assert opens(server.gateway(password=None, prompt=person))
    text = person.questions[0].text
    assert text == "\\033[2J\\007Co\\342\\200\\256de\t: "


# ---- The password ------------------------------------------------------------------------

NOT_FOR_THE_PASSWORD = [
    "Verification code: ",
    "One-time password (OATH) for `root': ",
    "Password + token: ",
    "Enter PASSCODE: ",
    "Passcode or option (1-3): ",
    "Your OTP: ",
    "New password: ",
    "Retype new password: ",
    "(otp) Password: ",
    "Enter your authentication code",
    "Challenge 1234: Response: ",
    "Token password: ",
    "PIN: ",
    "",
]


@pytest.mark.parametrize("text", NOT_FOR_THE_PASSWORD)
def test_the_password_is_not_sent_to_another_prompt(sshd, exchange, text: str) -> None:
    with interactive(sshd, [(text, False, "123456")]) as server:
        error = refusal(server.gateway())
        assert SECRET not in str(server.answers)
        assert opens(server.gateway(prompt=lambda text, echo: "123456"))
    assert repr(text.strip() or "an empty prompt") in str(error)
    assert "was not answered" in str(error)


FOR_THE_PASSWORD = [
    "Password: ",
    "password:",
    "root@bastion's password: ",
    "(current) UNIX password: ",
    "Password for root@bastion:",
    "Passwort: ",
    "Mot de passe : ",
    "Contrase\u00f1a: ",
    "\u30d1\u30b9\u30ef\u30fc\u30c9: ",
    "\u041f\u0430\u0440\u043e\u043b\u044c: ",
]


@pytest.mark.parametrize("text", FOR_THE_PASSWORD)
def test_the_password_is_sent_to_its_prompt(sshd, exchange, text: str) -> None:
    with interactive(sshd, [(text, False, SECRET)]) as server:
        assert opens(server.gateway())


def test_the_password_is_not_sent_to_a_prompt_that_echoes(sshd, exchange) -> None:
    with interactive(sshd, [("Password: ", True, SECRET)]) as server:
        refusal(server.gateway())
        assert SECRET not in str(server.answers)


def test_the_password_is_sent_once(sshd, exchange) -> None:
    """A server that asks again got a wrong one; the next answer is a person's."""
    person = Person("typed")
    rounds = [[("Password: ", False, SECRET)], [("Password: ", False, "typed")]]
    with interactive(sshd, *rounds) as server:
        assert opens(server.gateway(prompt=person))
        error = refusal(server.gateway())
    assert "'Password:' was not answered" in str(error)


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_the_empty_password(sshd, exchange, method: str) -> None:
    with ChainServer(sshd, method, rounds=[[("Password: ", False, "")]]) as server:
        assert opens(server.gateway(password=""))
        refusal(server.gateway(password=None))
        if method == "password":
            assert server.passwords == [""]


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_a_person_is_asked_for_the_password(sshd, exchange, method: str) -> None:
    person = Person("wrong", "wrong too", SECRET)
    rounds = [[("Password: ", False, SECRET)]]
    with ChainServer(sshd, method, password=SECRET, rounds=rounds) as server:
        gateway = server.gateway(password=None, prompt=person)
        assert opens(gateway)
    assert [question.kind for question in person.questions] == [method] * 3
    if method == "password":
        assert person.questions[0].text == f"{gateway}'s password: "


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_a_person_is_asked_number_of_password_prompts_times(
    sshd, exchange, method: str, count: int
) -> None:
    person = Person(*["wrong"] * 5)
    rounds = [[("Password: ", False, SECRET)]]
    with ChainServer(sshd, method, password=SECRET, rounds=rounds) as server:
        refusal(server.gateway(password=None, prompt=person, number_of_password_prompts=count))
        assert server.decisions.count((method, FAILURE)) == count
    assert len(person.questions) == count


def test_a_person_is_asked_after_the_given_password_was_refused(sshd, exchange) -> None:
    person = Person(SECRET)
    with ChainServer(sshd, "password", password=SECRET) as server:
        assert opens(server.gateway(password="wrong", prompt=person))
        assert server.passwords == ["wrong", SECRET]


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_a_prompt_that_is_declined_is_named_and_not_repeated(sshd, exchange, method: str) -> None:
    person = Person("1", None)
    rounds = [[("Name: ", True, "1"), ("Password: ", False, SECRET)]]
    if method == "password":
        person = Person(None)
    with ChainServer(sshd, method, password=SECRET, rounds=rounds) as server:
        error = refusal(server.gateway(password=None, prompt=person))
        assert not server.passwords
    words = "Password:" if method == "keyboard-interactive" else "who@"
    assert f"{method} (the prompt " in str(error)
    assert words in str(error)
    assert "was not answered" in str(error)


def test_the_next_method_is_tried_after_a_prompt_was_declined(sshd, exchange) -> None:
    with ChainServer(
        sshd,
        "keyboard-interactive password",
        password=SECRET,
        rounds=[[("Code: ", False, "1")]],
    ) as server:
        assert opens(server.gateway(prompt=lambda text, echo: None))


# ---- A password that has expired ---------------------------------------------------------


class Expired:
    """Replies that want a new password, up to *times*."""

    def __init__(self, times: int = 1, then: bytes = ACCEPT, text: str = "Change it: ") -> None:
        self.given: list[list[bytes]] = []
        self._times = times
        self._then = then
        self._text = text

    def __call__(self, request: Request) -> list[bytes]:
        if request.method != "password":
            return [failure("password")]
        self.given.append(request.passwords())
        if len(self.given) <= self._times:
            return [change_request(self._text)]
        return [self._then]


def test_a_new_password(sshd, by_messages) -> None:
    script = Expired()
    person = Person("new", "new")
    with AuthScript(sshd, script) as server:
        assert opens(server.gateway(password=SECRET, prompt=person))
    assert script.given == [[SECRET.encode()], [SECRET.encode(), b"new"]]
    assert [question.kind for question in person.questions] == ["new password"] * 2
    assert person.questions[0].text == "Change it:"
    assert not any(question.echo for question in person.questions)


def test_a_new_password_that_the_server_does_not_take(sshd, by_messages) -> None:
    script = Expired(times=2)
    with AuthScript(sshd, script) as server:
        person = Person("bad", "bad", "good", "good")
        assert opens(server.gateway(password=SECRET, prompt=person))
    assert [pair[1:] for pair in script.given] == [[], [b"bad"], [b"good"]]


def test_a_new_password_that_was_mistyped(sshd, by_messages) -> None:
    script = Expired()
    with AuthScript(sshd, script) as server:
        person = Person("one", "other", "new", "new")
        assert opens(server.gateway(password=SECRET, prompt=person))
    assert script.given[-1] == [SECRET.encode(), b"new"]


@pytest.mark.parametrize("answers", [None, [None], ["new", None], ["a", "b"] * 3], ids=str)
def test_an_expired_password_that_is_not_changed(sshd, exchange, answers) -> None:
    person = None if answers is None else Person(*answers)
    if exchange == "libssh2" and answers is not None:
        pytest.skip("libssh2 does not ask for a new password here")
    script = Expired(then=failure("password"))
    with AuthScript(sshd, script) as server:
        error = refusal(server.gateway(password=SECRET, prompt=person))
    assert "has expired" in str(error)
    assert script.given == [[SECRET.encode()]]


def test_a_server_that_always_wants_another_password(sshd, by_messages) -> None:
    """It ends, because a person gives up, or the login does."""
    asked = []

    def prompt(text: str, echo: bool) -> str:
        asked.append(text)
        return "new"

    with AuthScript(sshd, Expired(times=10**6)) as server:
        error = refusal(server.gateway(password=SECRET, prompt=prompt))
    assert "has expired" in str(error)
    assert len(asked) < 20


# ---- PAM ---------------------------------------------------------------------------------


def pam_sshd(**options) -> pam.PamSshd:
    pam.skip_without_pam()
    return pam.PamSshd({"AuthenticationMethods": "keyboard-interactive"}, **options)


@pytest.fixture(scope="module")
def two_factors() -> Iterator[pam.PamSshd]:
    info = "auth required MODULE [info=Look at your telephone.] [ask=Seen? ] answer=yes"
    with pam_sshd(stack=f"{pam.BOTH}\n{info}") as server:
        yield server


def test_pam_asks_for_two_factors(two_factors, exchange) -> None:
    person = Person(pam.CODE, "yes")
    options = {"key_filename": None, "password": pam.PASSWORD}
    seen = "Look at your telephone.\nSeen? "
    assert opens(gateways.to(two_factors, prompt=person, **options))
    assert [(q.text, q.echo) for q in person.questions] == [(pam.PROMPT, False), (seen, True)]
    error = refusal(gateways.to(two_factors, **options))
    assert pam.PROMPT.strip() in str(error)
    assert pam.PASSWORD not in str(error)


def test_pam_wants_a_new_password(exchange) -> None:
    with pam_sshd(expired=True) as server:
        options = {"key_filename": None, "password": pam.PASSWORD}
        error = refusal(gateways.to(server, **options))
        assert "change your password" in str(error) or "expired" in str(error), str(error)
        asked = []

        def prompt(text: str, echo: bool, question: Question) -> str:
            asked.append(question)
            return pam.PASSWORD if "urrent" in text else "a new one 7!"

        assert opens(gateways.to(server, prompt=prompt, **options)), server.log
        assert ["New" in q.text or "new" in q.text for q in asked].count(True) == 2
        assert opens(gateways.to(server, key_filename=None, password="a new one 7!"))
        refusal(gateways.to(server, **options))
