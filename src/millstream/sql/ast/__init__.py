"""The tree of a script: immutable nodes, each knowing where in the text it stands.

Names are stored as the catalogue spells them: unquoted ones in upper case, quoted ones as written.
Positions take no part in equality, so a tree equals its own round trip through the formatter.
"""

from millstream.sql.ast.expressions import *
from millstream.sql.ast.queries import *
from millstream.sql.ast.statements import *
