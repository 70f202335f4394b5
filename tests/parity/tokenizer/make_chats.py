#!/usr/bin/env python3
"""Writes tests/text/goldens/chat/: what transformers==5.23.0 makes of 20 conversations with templates that use the
constructs of published ones, and of single constructs.

    python3 -m venv /tmp/tok && /tmp/tok/bin/pip install tokenizers==0.23.3 transformers==5.23.0 jinja2==3.1.6 numpy
    /tmp/tok/bin/python tests/parity/tokenizer/make_chats.py tests/text/goldens/chat

The templates are written for this test in the manner of the families' own. `null` stands where transformers raises an
error.
"""
import datetime
import json
import sys
from pathlib import Path

import jinja2
import transformers
from transformers.utils import chat_template_utils as utils

assert transformers.__version__ == "5.23.0" and jinja2.__version__ == "3.1.6"
NOW = datetime.datetime(2026, 3, 7, 9, 5, 3)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


utils.datetime = Clock
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a place", "parameters": {
    "type": "object", "properties": {"place": {"type": "string", "description": "A <b>town</b> & \"more\""},
                                     "unit": {"type": ["string", "null"], "enum": ["C", "F"]},
                                     "days": {"type": "integer", "default": 1.0}}, "required": ["place"]},
    "return": {"type": "object", "properties": {"t": {"type": "number"}}}}}
CLOCK = {"type": "function", "function": {"name": "now", "description": "Zeit – 時間", "parameters": {
    "type": "object", "properties": {}}}}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_12345", "type": "function", "function": {
    "name": "get_weather", "arguments": {"place": "Köln", "unit": "C", "list": [1, 2.5, None, True]}}}]}


def u(text):
    return {"role": "user", "content": text}


def a(text, **more):
    return {"role": "assistant", "content": text, **more}


def s(text):
    return {"role": "system", "content": text}


CHATS = [
    {"messages": [u("Hi")]},
    {"messages": [u("Hi"), a("Hello."), u("How are you?")], "add_generation_prompt": True},
    {"messages": [s("Be brief."), u("  spaces around \n"), a("\n\nkept?  ")]},
    {"messages": [s("Be brief."), u("Hi")], "add_generation_prompt": True, "enable_thinking": False},
    {"messages": [u("a"), u("b")]},
    {"messages": [a("begins"), u("b")]},
    {"messages": [u("emoji 👩‍👩‍👧 and 'quotes' \"double\" \\ {{ x }} {% y %} <|im_end|>")], "add_generation_prompt": True},
    {"messages": [u("Think"), a("<think>\nstep one\n</think>\n\nAnswer"), u("More"), a("Done")]},
    {"messages": [u("Think"), a("Answer", reasoning_content="because"), u("More"), a("Yes", reasoning_content="so")],
     "add_generation_prompt": True},
    {"messages": [u("Weather?")], "tools": [WEATHER], "add_generation_prompt": True},
    {"messages": [s("Tools."), u("Weather?"), CALL, {"role": "tool", "name": "get_weather", "content": "{\"t\": 3}",
      "tool_call_id": "call_12345"}, a("3 degrees")], "tools": [WEATHER, CLOCK]},
    {"messages": [u("Weather?"), CALL, {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}, u("so?")],
     "tools": [CLOCK], "add_generation_prompt": True},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image"},
                                               {"type": "text", "text": " and say"}]}], "add_generation_prompt": True},
    {"messages": [u("Docs?")], "documents": [{"title": "One", "text": "First text"}, {"title": "Zwei", "text": "Zweiter"}]},
    {"messages": []},
    {"messages": [u("")], "add_generation_prompt": True},
    {"messages": [s(""), u("x"), a("")]},
    {"messages": [{"role": "function", "content": "odd"}]},
    {"messages": [u("long " * 50), a("日本語のテキスト。" * 5), u("עברית ثم عربي")], "date_string": "26 Jul 2024"},
    {"messages": [u("one"), a("two"), u("three"), a("four"), u("five"), a("six")], "add_generation_prompt": False,
     "enable_thinking": True, "custom": {"k": [1, {"z": 1, "a": 2}], "pi": 3.14159, "big": 1e20, "tiny": 1e-7}},
]

TEMPLATES = {
    "chatml": """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "chatml_lines": """
{%- for message in messages %}
    {%- if loop.first and messages[0]['role'] != 'system' %}
        {{- '<|im_start|>system\\nYou are helpful<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' ~ message.role ~ '\\n' ~ (message.content or '') | trim ~ '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "llama2": """{% if messages and messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}""",
    "llama3": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "qwen3": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "gemma": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
""",
    "mistral": """{%- if messages and messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length < 9 %}
                {{- raise_exception("Tool call IDs should be long enough") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
""",
    "phi": """{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'user' %}{{'<|user|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>
' + message['content'] + '<|end|>
'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>
' }}{% else %}{{ eos_token }}{% endif %}""",
    "macros": """
{%- macro render_type(spec, level=0) -%}
    {%- set pad = '  ' * level -%}
    {%- if spec.type is string -%}
        {{- spec.type -}}
    {%- elif spec.type is iterable -%}
        {{- spec.type | join(' | ') -}}
    {%- endif -%}
    {%- if spec.properties -%}
        {{- ' {' -}}
        {%- for name, inner in spec.properties.items() -%}
            {{- '\\n' ~ pad ~ '  ' ~ name ~ ('' if name in (spec.required or []) else '?') ~ ': ' ~ render_type(inner, level + 1) -}}
            {%- if inner.default is defined %} = {{ inner.default | tojson }}{%- endif -%}
        {%- endfor -%}
        {{- '\\n' ~ pad ~ '}' -}}
    {%- endif -%}
{%- endmacro -%}
{%- for tool in tools or [] %}
// {{ tool.function.description }}
type {{ tool.function.name }} = {{ render_type(tool.function.parameters) }};
{% endfor %}
{% for m in messages -%}
[{{ loop.index }}/{{ loop.length }}{% if loop.last %} last{% endif %}] {{ m.role | upper }}: {{ m.content | default('-', true) }}
{% else -%}
nothing
{% endfor %}
""",
    "documents": """{{ bos_token }}{% for d in documents or [] %}
<doc id="{{ loop.index0 }}">
{% for k, v in d | dictsort %}
    {{ k | title }}: {{ v }}
{% endfor %}
</doc>
{% endfor %}
{% set roles = messages | map(attribute='role') | unique | list %}
{{ roles | join(', ') }} {{ roles }} {{ roles | length }} {{ messages | selectattr('role', 'in', ['user', 'tool']) | list | length }}
{% for m in messages if m.content is string and m.content %}
{{ loop.index }}{{ loop.cycle('a', 'b') }} {{ m.content | replace('\\n', ' ') | trim | lower }}
{%- if not loop.last %};{% endif %}

{% endfor %}""",
    "generation": """{% for message in messages %}{% if message.role == 'assistant' %}<a>{% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}
{% else %}<{{ message.role[0] }}>{{ message.content }}
{% endif %}{% endfor %}""",
    "loops": """{% set ns = namespace(n=0, parts=[]) %}{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{% if loop.index > 4 %}{% break %}{% endif %}{% set ns.n = ns.n + 1 %}{% set ns.parts = ns.parts + [m.role ~ ns.n] %}{{ loop.previtem.role if loop.previtem is defined else '^' }}>{{ m.role }}>{{ loop.nextitem.role if not loop.last else '$' }} {{ loop.revindex }} {{ loop.changed(m.role) }};{% endfor %}{{ ns.n }} {{ ns.parts }} {{ ns.parts | reverse | list }} {{ ns.parts | sort(reverse=true) | first }}""",
}

CONSTRUCTS = """{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 7.0 }} {{ 1e16 }} {{ 1e15 }} {{ 0.1 + 0.2 }}
{{ custom }} {{ custom.k[1] | tojson(sort_keys=true) }} {{ custom | tojson(indent=2, separators=(',', ' : ')) }}
{{ true and 'x' or 'y' }} {{ none }} {{ not none }} {{ [1, 'a', none, true, 1.5, ('t',), {'k': 'v'}] }} {{ "it's" }} {{ ["it's", 'say "x"', 'both \\' and "', 'new\\nline', 'tab\\t', '\\u00e9\\u200b\\x07'] }}
{{ 'abc'[1] }} {{ 'äöü'[::-1] }} {{ 'äöü' | upper }} {{ 'straße' | upper }} {{ 'ÀÉ' | lower }} {{ [1,2,3,4,5][1:-1:2] }} {{ 'hello world-again' | title }}
{{ x is defined }} {{ x is undefined }} {{ x | default('d') }} {{ '' | default('e', true) }} {{ x }} {{ x == y }} {{ x is none }} {{ custom.nothing is defined }}
{{ 3 is odd }} {{ 4 is divisibleby(2) }} {{ 1 is number }} {{ true is number }} {{ 1.0 is integer }} {{ [] is sequence }} {{ {} is mapping }} {{ 'a' is string }} {{ 'A' is upper }} {{ 1 is sameas true }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a-b-c'.rsplit('-', 1) }} {{ 'a=b=c'.partition('=') }} {{ 'xxabxx'.strip('x') }} {{ 'abc'.replace('b', 'BB') }} {{ 'abcabc'.find('ca') }} {{ 'a'.join(['1', '2']) }}
{{ 'a\\nb\\r\\nc'.splitlines() }} {{ 'line1\\nline2\\n\\nline4' | indent(2) }} {{ 'x\\ny' | indent('--', first=true) }}
{{ range(5) | list }} {{ range(5, 0, -2) | list }} {{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [1, 2, 3] | sum }} {{ [4, 2] | min }} {{ [4, 2] | max }}
{{ ['a', 'b'] | map('upper') | join('+') }} {{ [1, 2, 3, 4] | select('even') | list }} {{ [1, 2, 3, 4] | reject('gt', 2) | list }} {{ [{'a': 1}, {'a': 2}] | rejectattr('a', 'eq', 1) | list }} {{ [{'a': {'b': 5}}] | map(attribute='a.b') | list }}
{{ 'a' ~ 1 ~ none ~ true ~ 1.5 }} {{ 'ab' * 2 }} {{ [1] * 3 }} {{ [1] + [2] }} {{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' in 'abc' }} {{ 'z' not in ['a'] }} {{ 'k' in {'k': 1} }} {{ 1 == 1.0 }} {{ true == 1 }}
{{ {'a': 1, 'b': 2}.items() | list }} {{ {'a': 1}.get('b', 'no') }} {{ {'a': 1}.keys() | list }} {{ dict(a=1, b=[2]) }} {{ {'b': 1, 'a': 2} | items | list }} {{ {'a': 1}.values() }}
{{ '<b>' | e }} {{ 'x' | safe }} {{ ' y ' | trim | length }} {{ 3.7 | int }} {{ '42' | int + 1 }} {{ 'z' | int(-1) }} {{ '1.5' | float }} {{ 2.5 | round }} {{ 2.345 | round(2) }} {{ -3 | abs }} {{ 3.2 | round(method='ceil') | int }}
{% raw %}{{ not this }} {% nor this %}{% endraw %} {# a comment #}{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set block %}  inside {{ a }}  {% endset %}[{{ block }}]{% set block | trim %}  trimmed  {% endset %}[{{ block }}]
{% with p = 1, q = 2 %}{{ p + q }}{% endwith %}{{ p is defined }}{% filter upper %}shout {{ a }}{% endfilter %}
{% macro m(x, y='dy') %}({{ x }},{{ y }}{{ caller(1) if caller else '' }}){% endmacro %}{{ m(1) }}{{ m(1, y=2) }}{{ m() }}{% call(z) m('c') %}body{{ z }}{% endcall %}
{% for i in [1, 2, 3] %}{% for j in 'ab' %}{{ loop.depth }}{{ i }}{{ j }}{% if not loop.last %},{% endif %}{% endfor %};{% endfor %}
{% set seen = 0 %}{% for i in [1, 2] %}{% set seen = seen + i %}{{ seen }}{% endfor %}{{ seen }}
{%- if x %}a{% elif a == 1 %}b{% else %}c{% endif +%}
   {%+ if true %}keeps{% endif %}   
{{- '' -}}   end {{ strftime_now('%Y-%m-%d %H:%M') }} {{ strftime_now('%B %d, %A %j %-d') }}
{{ 'a.b'.split('.') | last }} {{ ('a', 'b') | first }} {{ [] | first }} {{ 'x'.startswith(('y', 'x')) }} {{ 'abc'.endswith('bc') }} {{ 'Abc'.lower().capitalize() }} {{ '12'.isdigit() }}
{{ messages | tojson(ensure_ascii=true) }} {{ [1, [2, {}], []] | tojson(indent=1) }} {{ "\\u2028é" | tojson }} {{ 12345678901234 }} {{ 1_000 }} {{ 10 | string + '!' }} {{ [0.5, 1e-5, 1e22, 123456789.125] }}""".split("\n")

# A line each: transformers raises an error.
REFUSED = ["{{ x.y }}", "{{ x['y'] }}", "{{ 'a' + 1 }}", "{{ none + 'a' }}", "{{ [1].append(2) }}", "{{ undefined_function() }}",
           "{{ 1 / 0 }}", "{{ x | tojson }}", "{{ raise_exception('no') }}", "{% for i in none %}{% endfor %}",
           "{{ ['a'] | map('upper') | length }}", "{% if %}{% endif %}", "{% for x in y %}", "{{ 'a", "{{ 1 }", "{% nonsense %}",
           "{{ 1 | nonsense }}", "{{ 1 is nonsense }}", "{% break %}", "{{ range(1000000) | list }}", "{{ 'a' < 1 }}",
           "{{ ''.__class__.__mro__ }}{{ [].__class__() }}", "{% set x.y = 1 %}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}"]


def render(template, chat, **more):
    given = {**SPECIAL, **chat, **more}
    messages, tools, documents = given.pop("messages"), given.pop("tools", None), given.pop("documents", None)
    try:
        out, _ = utils.render_jinja_template([messages], tools=tools, documents=documents, chat_template=template, **given)
        return out[0]
    except Exception as error:
        print(f"{type(error).__name__}: {error}"[:100].replace("\n", " "), file=sys.stderr)
        return None


def main():
    folder = Path(sys.argv[1])
    out = {"special": SPECIAL, "now": int(NOW.timestamp()), "now_text": NOW.strftime("%Y-%m-%d %H:%M"), "chats": CHATS,
           "templates": {}, "constructs": [], "refused": REFUSED, "continued": []}
    for name, template in TEMPLATES.items():
        expected = [render(template, chat) for chat in CHATS]
        out["templates"][name] = {"source": template, "expected": expected}
        print(name, sum(e is not None for e in expected), file=sys.stderr)
    lines = [*CONSTRUCTS, "\n".join(CONSTRUCTS[-14:]), "a\n\n", "a\n", "\n{% if true %}\n  b\n{% endif %}\n\n", "{{ 'x' }}\n{# c #}\n  {# d #}\nz"]
    for line in lines:
        expected = render(line, CHATS[-1])
        if expected is None:
            print("construct fails: " + line, file=sys.stderr)
        out["constructs"].append([line, expected])
    for line in REFUSED:
        assert render(line, CHATS[0]) is None, line
    for name in ("chatml", "qwen3", "llama3", "gemma"):
        for i in (1, 2, 3, 7, 12):
            chat = {**CHATS[i], "add_generation_prompt": False}
            out["continued"].append([name, i, render(TEMPLATES[name], chat, continue_final_message=True)])
    (folder / "chats.json").write_text(json.dumps(out, ensure_ascii=True, indent=0) + "\n")


if __name__ == "__main__":
    main()
