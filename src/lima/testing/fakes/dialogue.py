"""A person who answers what they were told to answer."""

from collections.abc import Callable, Sequence

from lima.ports.dialogue import NoTerminalError
from lima.testing.fakes.failing import Failing


class FakeDialogue(Failing):
    """`answers` are given in order, an option by its text; without any left, nobody is there. `editor` is applied to a
    text that is edited. `questions` were asked."""

    def __init__(self, *answers: str, editor: Callable[[str], str] = lambda text: text) -> None:
        super().__init__()
        self.answers = list(answers)
        self.editor = editor
        self.questions: list[str] = []
        self.edited: list[str] = []

    async def choose(self, question: str, options: Sequence[str]) -> int:
        self._maybe_fail()
        if not self.answers:
            raise NoTerminalError("nobody is there")
        self.questions.append(question)
        return list(options).index(self.answers.pop(0))

    async def confirm(self, question: str, *, default: bool) -> bool:
        self._maybe_fail()
        if not self.answers:
            return False
        self.questions.append(question)
        answer = self.answers.pop(0)
        return answer == "yes" if answer else default

    async def edit(self, text: str) -> str:
        self._maybe_fail()
        self.edited.append(text)
        return self.editor(text)
