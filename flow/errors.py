"""Errors that a user can mend, told apart from faults of this program.

A `UserError` ends the command line with one line on stderr and exit status 2. Any other exception
is a fault of ours and keeps its traceback.
"""


class UserError(Exception):
    """Something the user gave is wrong: a model, an option, a file, a board.

    The message says what is wrong, where, and what to do, in one line.
    """


class MismatchError(UserError):
    """Two descriptions of the same network gave different bits.

    `where` names the first place that differs: a pass and node, a layer, an image, a tile.
    """

    def __init__(self, message: str, where: str):
        super().__init__(message)
        self.where = where
