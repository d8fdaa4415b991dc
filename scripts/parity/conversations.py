"""Conversations that chat templates are tried with: plain ones, odd ones, and ones that many templates must refuse."""


def turns(*texts, system=None):
    """Alternating turns that begin with the user's, behind a system turn where one is given."""
    roles = ["user", "assistant"] * len(texts)
    said = [dict(role=role, content=text) for role, text in zip(roles, texts)]
    return ([dict(role="system", content=system)] if system is not None else []) + said


def call(name, arguments, **more):
    return dict(type="function", function=dict(name=name, arguments=arguments), **more)


WEATHER = dict(
    type="function",
    function=dict(
        name="weather", description="Tells the weather in a \"place\" <now> & later.",
        parameters=dict(
            type="object", required=["place"],
            properties=dict(place=dict(type="string", description="Where, e.g. Zürich"), days=dict(type="integer", default=1, minimum=0.5)),
        ),
    ),
)
CODE = "```python\ndef f(x):\n    return {'a': x, \"b\": [1, 2.50]}\n\n\n```\n{% if x %}{{ y }}{% endif %}\n\ttab\\n"
THOUGHT = "<think>\nfirst this\n\nthen that\n</think>\n\nso it is"

CONVERSATIONS = [
    dict(name="one turn", messages=turns("Hello")),
    dict(name="system", messages=turns("Hello", system="You are a pirate.")),
    dict(name="many turns", messages=turns("a", "b", "c", "d", "e")),
    dict(name="many turns with system", messages=turns("a", "b", "c", "d", system="S")),
    dict(name="ends with the assistant", messages=turns("What is 2+2?", "4")),
    dict(name="unicode", messages=turns("naïve café 你好 🦜‍🔥 \u202eright\u200b\u00a0space", "да", "\U0001f1ee\U0001f1f8")),
    dict(name="special characters", messages=turns("<b>&amp; \"quotes\" 'single' \\ / </s><|im_end|>[INST]", "{{ 7*7 }}", "{# c #}")),
    dict(name="code", messages=turns(CODE, CODE, "again", system=CODE)),
    dict(name="blanks around", messages=turns("  two blanks \n", " answer  ", "\n\nlast\t ", system="  s  ")),
    dict(name="empty texts", messages=turns("", "", "x", system="")),
    dict(name="only blanks", messages=turns(" \n ", "\t", "\u3000")),
    dict(name="thoughts", messages=turns("why?", THOUGHT, "and?", THOUGHT, "so?")),
    dict(name="lines of all kinds", messages=turns("a\r\nb\rc\u2028d\u0085e\x0bf", "g\n\n\nh", "i")),
    dict(name="long", messages=turns("word " * 2000, "ok", "more")),
    dict(name="two users", messages=[dict(role="user", content="a"), dict(role="user", content="b")]),
    dict(name="assistant first", messages=[dict(role="assistant", content="hi"), dict(role="user", content="b")]),
    dict(name="system only", messages=[dict(role="system", content="s")]),
    dict(name="late system", messages=turns("a", "b") + [dict(role="system", content="s"), dict(role="user", content="c")]),
    dict(name="unknown role", messages=[dict(role="critic", content="x")]),
    dict(name="nothing", messages=[]),
    dict(name="tools", messages=turns("Weather in Zürich?"), tools=[WEATHER]),
    dict(name="tools and system", messages=turns("Weather?", "Where?", "Here", system="Be short."), tools=[WEATHER, WEATHER]),
    dict(
        name="tool call", tools=[WEATHER],
        messages=turns("Weather?") + [
            dict(role="assistant", content="", tool_calls=[call("weather", dict(place="Zürich", days=2), id="abcdefghi")]),
            dict(role="tool", content="{\"sky\": \"clear\"}", name="weather", tool_call_id="abcdefghi"),
            dict(role="assistant", content="Clear."), dict(role="user", content="Thanks"),
        ],
    ),
    dict(
        name="two tool calls", tools=[WEATHER],
        messages=turns("Weather?", system="s") + [
            dict(role="assistant", content="let me see", tool_calls=[
                call("weather", dict(place="a\nb"), id="aaaaaaaaa"), call("weather", dict(place="<c>", days=None, x=[True, 1.0, 1e-7]), id="bbbbbbbbb"),
            ]),
            dict(role="tool", content="1", name="weather", tool_call_id="aaaaaaaaa"),
            dict(role="tool", content="2", name="weather", tool_call_id="bbbbbbbbb"),
        ],
    ),
    dict(name="reasoning field", messages=turns("a") + [
        dict(role="assistant", content="b", reasoning_content="hm\n"), dict(role="user", content="c"), dict(role="assistant", content="d", reasoning_content="so"),
    ]),
]


def flags(source):
    """What a rendering is asked for: the opening of an answer or not, thinking and a pinned date where the template knows them.

    A template that asks the clock is rendered with a pinned date only; the server refuses it without one.
    """
    thinking = [None, True, False] if "enable_thinking" in source else [None]
    dated = [True] if "strftime_now" in source else [False, True] if "date_string" in source else [False]
    return [
        dict(add_generation_prompt=opening, date=date) | ({} if think is None else dict(enable_thinking=think))
        for opening in (False, True) for think in thinking for date in dated
    ]
