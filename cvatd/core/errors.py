"""The one kind of refusal that people and programs see."""


class CvatdError(Exception):
    """Something that was asked for cannot be done.

    `code` is a stable snake_case word for programs; `message` is what a person reads:
    what is wrong, where, and what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
