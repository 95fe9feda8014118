"""The code in README.md and docs/ runs as it stands there, each page from top to bottom in one process.

```python blocks run; ```pycon blocks, too, and print what stands there.
"""

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def script(page, language="python"):
    """The page with all but the blocks of one language blanked, so that a traceback names the page's own lines."""
    inside = False
    lines = []
    for line in page.read_text().splitlines():
        fence = line.startswith("```")
        lines.append(line if inside and not fence else "")
        inside = line == f"```{language}" if fence else inside
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_on_the_page_runs(page, tmp_path):
    run = "import sys; exec(compile(sys.argv[2], sys.argv[1], 'exec'), {'__name__': '__main__'})"
    command = [sys.executable, "-c", run, page.name, script(page)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_sessions_on_the_page_print_what_they_show(page, monkeypatch):
    # as the interpreter names what is typed
    monkeypatch.setattr(doctest, "compile", lambda source, _, *how: compile(source, "<stdin>", *how), raising=False)
    shown = script(page, "pycon")
    example = doctest.DocTestParser().get_doctest(shown, {"__name__": "__main__"}, page.name, str(page), 0)
    told = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=told.append)
    assert not told, "".join(told)


def test_only_python_blocks_are_taken(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n```python\na = 1\n```\n```sh\nls\n```\n")
    assert script(page).split("\n") == ["", "", "a = 1", "", "", "", ""]
