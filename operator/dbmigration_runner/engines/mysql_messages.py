"""What the exceptions of MariaDB's and MySQL's drivers say, without the data in it.

The server quotes names and values alike, with the same single quotes: which of the two it is, only the error's number
tells. Knows no other engine.
"""

from __future__ import annotations

import re
from typing import Any

DRIVERS = ("pymysql", "MySQLdb", "asyncmy", "aiomysql", "mariadb")
LOCK_WAIT_TIMEOUT = "1205"  # of a row's lock and of a table's metadata lock
READ_ONLY_TRANSACTION = "1792"
# The session ended: killed, shut down, gone, or its line is broken.
LOST = frozenset({"1053", "1927", "2002", "2003", "2006", "2013", "2055", "4031"})
# Where every quoted part is a name: of a database, table, column, key, user, function, variable or file of the server.
_NAMES_ONLY = frozenset(
    f"{number}"
    for number in (
        *(1005, 1006, 1007, 1008, 1017, 1018, 1030, 1044, 1045, 1046, 1048, 1049, 1050, 1051, 1052, 1054, 1060, 1061),
        *(1068, 1069, 1071, 1072, 1075, 1091, 1099, 1100, 1101, 1103, 1109, 1110, 1113, 1115, 1142, 1143, 1146, 1161),
        *(1170, 1175, 1191, 1193, 1215, 1227, 1235, 1264, 1265, 1273, 1286, 1290, 1304, 1305, 1347, 1356, 1359, 1360),
        *(1364, 1370, 1406, 1419, 1451, 1452, 1463, 1506, 1524, 1553, 1698, 1822, 1823, 1824, 1826, 1830, 1832, 1833),
        *(1834, 1845, 1846, 1969, 4092),
    )
)
_DUPLICATE = re.compile(r"(Duplicate entry )'.*'( for key '[^']*')\Z", re.DOTALL)
# A value may hold quotes itself: so from the first to the last, or to the end.
_QUOTED = re.compile(r"(?<!\w)'(?:.*'|.*)|\"(?:.*\"|.*)", re.DOTALL)
_OF_CLIENTS = re.compile(r"2\d{3}")  # of the line and the address, never of a row


def words(error: BaseException) -> tuple[str, str]:
    """The server's number of the error ("" where there is none) and its message without values."""
    code = getattr(error, "errno", None)
    text: Any = getattr(error, "msg", None)
    arguments = error.args
    if arguments and isinstance(arguments[0], int):
        code = arguments[0] if code is None else code
        text = arguments[1] if text is None and len(arguments) > 1 else text
    elif text is None:
        text = arguments[0] if arguments else ""
    number = str(code) if code and code > 0 else ""
    return number, without_values(number, str(text))


def without_values(number: str, text: str) -> str:
    """The message, its quoted parts left out unless they can only be names."""
    if number in _NAMES_ONLY or _OF_CLIENTS.fullmatch(number):
        return text
    if number in {"1062", "1586"}:
        shown, found = _DUPLICATE.subn(r"\1'…'\2", text)
        if found:
            return shown
    return _QUOTED.sub("'…'", text)
