import pytest

from lora_trainer.sampling.prompt_schedule import texts

STEPS = 10


@pytest.mark.parametrize(
    ("prompt", "table"),
    [
        ("test", [(10, "test")]),
        ("a [b:3]", [(3, "a "), (10, "a b")]),
        ("a [b: 3 ]", [(3, "a "), (10, "a b")]),
        ("a [[[b]]:2]", [(2, "a "), (10, "a [[b]]")]),
        ("[(a:2):3]", [(3, ""), (10, "(a:2)")]),
        ("a [b : c : 1] d", [(1, "a b  d"), (10, "a  c  d")]),
        ("a[b:[c:d:2]:1]e", [(1, "abe"), (2, "ace"), (10, "ade")]),
        ("a [b::4]c", [(4, "a bc"), (10, "a c")]),
        ("a [unbalanced", [(10, "a [unbalanced")]),
        ("a [b:.5] c", [(5, "a  c"), (10, "a b c")]),
        ("[cat:dog:0.25]", [(2, "cat"), (10, "dog")]),
        ("[cat:dog:1.0] [x:99]", [(10, "cat ")]),
        ("((a][:b:c [d:3]", [(3, "((a][:b:c "), (10, "((a][:b:c d")]),
        ("a [less] (more:1.2) 3:4", [(10, "a [less] (more:1.2) 3:4")]),
        (r"\[a:b:0.5\] [c\:d:e:2]", [(2, r"\[a:b:0.5\] c\:d"), (10, r"\[a:b:0.5\] e")]),
        ("[a:b:c:2]", [(10, "[a:b:c:2]")]),
        ("[(a:b):(c|d):5]", [(5, "(a:b)"), (10, "(c|d)")]),
        ("[less [b:2] ]", [(2, "[less  ]"), (10, "[less b ]")]),
    ],
)
def test_what_counts_at_each_step(prompt, table):
    """`table`: up to which step (from 0, inclusive) which text counts, as the Web UI writes it."""
    assert texts(prompt, STEPS) == [next(text for end, text in table if step <= end) for step in range(STEPS)]


@pytest.mark.parametrize(
    ("prompt", "first"),
    [
        ("[a|b]", ["a", "a", "b", "a", "b"]),
        ("[fe|]male", ["female", "female", "male", "female"]),
        ("[a|b|(c:1.1)]", ["a", "a", "b", "(c:1.1)", "a"]),
        ("[[a:x:2]|b]", ["a", "a", "b", "x", "b", "x"]),
    ],
)
def test_alternatives_take_turns(prompt, first):
    assert texts(prompt, STEPS)[: len(first)] == first


def test_there_is_a_text_for_every_step_and_none_without_steps():
    assert texts("[a|b]", 1) == ["a"] and texts("[a|b]", 0) == []


@pytest.mark.parametrize("prompt", ["[" * 9000 + "a" + "]" * 9000, "[a:" * 3000 + "b" + ":0.5]" * 3000, "[a|b]" * 4000])
def test_brackets_without_end_inside_each_other_are_text_in_the_end(prompt):
    assert "a" in texts(prompt, STEPS)[-1] or "b" in texts(prompt, STEPS)[-1]
