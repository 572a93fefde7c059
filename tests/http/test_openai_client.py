"""OpenAI's own Python client, unmodified, finds what it expects."""
import openai
import pytest

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def client(smollm2):
    return openai.OpenAI(base_url=smollm2.url + "/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def tiny_client(tiny):
    return openai.OpenAI(base_url=tiny.url + "/v1", api_key="none", max_retries=0)


def test_chat(client):
    r = client.chat.completions.create(model="smollm2", messages=FRANCE, temperature=0, max_tokens=20)
    assert r.object == "chat.completion" and r.id.startswith("chatcmpl-") and r.model == "smollm2"
    (choice,) = r.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "The capital of France is Paris.")
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert r.usage.completion_tokens == 8 and r.usage.total_tokens == r.usage.prompt_tokens + 8
    assert r.usage.prompt_tokens_details.cached_tokens >= 0


def test_chat_with_an_adapter_as_the_model(client):
    r = client.chat.completions.create(model="sql", messages=[{"role": "user", "content": "What is the average price of cars?"}],
                                       temperature=0, max_completion_tokens=32)
    assert (r.model, r.choices[0].message.content) == ("sql", "SELECT AVG(price) FROM cars;")
    assert r.adapter["name"] == "sql" and r.adapter["version"]


def test_chat_with_an_adapter_as_an_extra_field(client):
    raw = client.chat.completions.with_raw_response.create(model="smollm2", messages=FRANCE, temperature=0, max_tokens=32,
                                                           extra_body={"adapter": "pirate"})
    assert raw.headers["x-dynlora-adapter"] == "pirate"
    assert raw.parse().choices[0].message.content == "Arr! th' capital o' France be Paris. Yo ho ho!"


def test_completion(client):
    r = client.completions.create(model="smollm2", prompt="Once upon a time", temperature=0, max_tokens=8)
    assert r.object == "text_completion" and r.choices[0].text and r.choices[0].finish_reason == "length"
    assert r.usage.completion_tokens == 8


def test_chat_stream(client):
    whole = client.chat.completions.create(model="pirate", messages=FRANCE, temperature=0, max_tokens=32)
    chunks = list(client.chat.completions.create(model="pirate", messages=FRANCE, temperature=0, max_tokens=32, stream=True))
    assert {c.object for c in chunks} == {"chat.completion.chunk"} and len({c.id for c in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len(chunks) > 8 and all(c.usage is None for c in chunks)


def test_chat_stream_with_usage(client):
    chunks = list(client.chat.completions.create(model="smollm2", messages=FRANCE, temperature=0, max_tokens=20, stream=True,
                                                 stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 8
    assert all(c.usage is None for c in chunks[:-1])


def test_completion_stream(client):
    whole = client.completions.create(model="smollm2", prompt="Once upon a time", temperature=0, max_tokens=12)
    parts = list(client.completions.create(model="smollm2", prompt="Once upon a time", temperature=0, max_tokens=12, stream=True))
    assert "".join(p.choices[0].text for p in parts) == whole.choices[0].text
    assert parts[-1].choices[0].finish_reason == "length"


def test_n(client):
    r = client.chat.completions.create(model="smollm2", messages=FRANCE, n=3, temperature=1.5, max_tokens=12, seed=5)
    assert [c.index for c in r.choices] == [0, 1, 2]
    assert len({c.message.content for c in r.choices}) > 1
    assert r.usage.completion_tokens > 3


def test_chat_logprobs(client):
    r = client.chat.completions.create(model="smollm2", messages=FRANCE, temperature=0, max_tokens=20, logprobs=True, top_logprobs=3)
    content = r.choices[0].logprobs.content
    assert "".join(t.token for t in content).startswith("The capital of France is Paris.")
    for t in content:
        assert t.logprob <= 0 and len(t.top_logprobs) == 3 and t.top_logprobs[0].token == t.token  # greedy
        assert bytes(t.bytes).decode() == t.token


def test_completion_logprobs(client):
    r = client.completions.create(model="smollm2", prompt="Once upon a time", temperature=0, max_tokens=4, logprobs=2)
    probs = r.choices[0].logprobs
    assert "".join(probs.tokens) == r.choices[0].text
    assert len(probs.token_logprobs) == len(probs.top_logprobs) == len(probs.text_offset) == 4
    assert all(len(top) in (2, 3) and max(top.values()) == lp for top, lp in zip(probs.top_logprobs, probs.token_logprobs))


def test_stop(client):
    r = client.chat.completions.create(model="smollm2", messages=FRANCE, temperature=0, max_tokens=20, stop=[" Paris", "\n"])
    assert (r.choices[0].message.content, r.choices[0].finish_reason) == ("The capital of France is", "stop")


def test_models(client):
    listed = client.models.list().data
    assert {m.id for m in listed} >= {"smollm2", "sql", "shout", "pirate"}
    sql = client.models.retrieve("sql")
    assert (sql.id, sql.object, sql.parent, sql.kind, sql.rank) == ("sql", "model", "smollm2", "lora", 4)
    assert client.models.retrieve("smollm2").max_model_len == 8192


def test_unknown_model_is_not_found(tiny_client):
    with pytest.raises(openai.NotFoundError) as e:
        tiny_client.chat.completions.create(model="nobody", messages=FRANCE)
    assert e.value.code == "adapter_not_found" and e.value.status_code == 404
    with pytest.raises(openai.NotFoundError):
        tiny_client.models.retrieve("nobody")


def test_bad_request(tiny_client):
    with pytest.raises(openai.BadRequestError) as e:
        tiny_client.chat.completions.create(model="tiny", messages=FRANCE, temperature=9)
    assert e.value.param == "temperature" and "temperature" in str(e.value)
    with pytest.raises(openai.BadRequestError) as e:
        tiny_client.chat.completions.create(model="tiny", messages=FRANCE, extra_body={"wit": 3})
    assert e.value.param == "wit"


def test_unsupported_is_a_bad_request(tiny_client):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    with pytest.raises(openai.BadRequestError) as e:
        tiny_client.chat.completions.create(model="tiny", messages=FRANCE, tools=tools)
    assert e.value.param == "tools"


def test_other_statuses_are_status_errors(tiny_client):
    with pytest.raises(openai.NotFoundError):
        tiny_client.embeddings.create(model="tiny", input="x")
    with pytest.raises(openai.APIStatusError) as e:
        tiny_client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x" * (17 << 20)}])
    assert e.value.status_code == 413


def test_the_async_client_and_a_stream_that_is_left(roomy):
    import asyncio

    async def run():
        client = openai.AsyncOpenAI(base_url=roomy.url + "/v1", api_key="none", max_retries=0)
        async with client:
            asked = [client.completions.create(model=m, prompt="abc", temperature=0, max_tokens=5) for m in ("all", "rank1", "rslora")]
            answers = await asyncio.gather(*asked)
            stream = await client.completions.create(model="all", prompt="abc", max_tokens=20000, stream=True, extra_body={"ignore_eos": True})
            async for _ in stream:
                break
            await stream.close()
        return answers

    assert [a.model for a in asyncio.run(run())] == ["all", "rank1", "rslora"]
    roomy.wait_until_idle()
