"""A file that is not what it was given as is told with line and column, never with what stands there: it may be any file."""

import pytest

from lora_trainer.errors import InputError, InputErrors
from lora_trainer.options import located
from lora_trainer.sampling.prompts import parse_prompt_file

SECRET = "hunter2secret"
LINES = {
    "a password file": f"root:$6${SECRET}:19000:0:99999:7:::",
    "an environment": f"export API_KEY={SECRET}",
    "a setting without quotes": f"API_KEY={SECRET}",
    "an open quotation": f"password = '{SECRET}",
    "a number with letters": f"x = 12{SECRET}",
    "a date with letters": f"x = 1979-05-27T07:32:{SECRET}",
    "a log": f"[12:00:01] user {SECRET} logged in",
    "an address": f"https://user:{SECRET}@example.org/",
    "a list": f"x = [1, {SECRET}]",
}


@pytest.mark.parametrize("ending", [".toml", ".json"])
@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_a_data_set_file_is_told_by_line_and_column_alone(tmp_path, line, ending):
    path = tmp_path / f"set{ending}"
    path.write_text(f"# first\n{line}\n" if ending == ".toml" else f'{{"a": 1,\n{line}')
    with pytest.raises(InputError) as caught:
        located.read(path)
    told = str(caught.value)
    assert SECRET not in told
    assert f"set{ending}, line 2" in told


@pytest.mark.parametrize("ending", [".toml", ".json"])
@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_so_is_a_prompt_file(tmp_path, line, ending):
    path = tmp_path / f"prompts{ending}"
    path.write_text(line)
    with pytest.raises((InputError, InputErrors)) as caught:
        parse_prompt_file(path)
    assert SECRET not in str(caught.value) and f"prompts{ending}" in str(caught.value)


def test_of_a_line_of_prompts_no_more_than_the_option_is_told(tmp_path):
    path = tmp_path / "script.txt"
    path.write_text(f"curl --user bob:{SECRET} --data {SECRET} example.org\n")
    with pytest.raises(InputErrors) as caught:
        parse_prompt_file(path)
    assert SECRET not in str(caught.value) and "'--user'" in str(caught.value) and "script.txt:1" in str(caught.value)


def test_the_column_is_told_where_the_parser_knows_it(tmp_path):
    path = tmp_path / "set.json"
    path.write_text('{"a": nothing}')
    with pytest.raises(InputError, match="set.json, line 1, column 7"):
        located.read(path)
