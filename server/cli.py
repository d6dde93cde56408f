"""`firstrank serve`. Its flags are the fields of `firstrank.server.settings.Settings`, which is imported only when the command is used."""

from __future__ import annotations

from typing import Any

import typer

_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

serve = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@serve.command(context_settings=_PASSED_ON)
def _serve(context: typer.Context) -> None:
    """Starts the HTTP rerank service."""
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    command.command(context_settings={"help_option_names": ["-h", "--help"]})(_command())
    command(args=context.args, prog_name=context.command_path)


def _command() -> Any:
    """A function that has each setting as a parameter."""
    import inspect

    from firstrank.server.settings import Settings

    def serve(**flags: Any) -> None:
        """Starts the HTTP rerank service: Cohere's, Jina's, vLLM's and text-embeddings-inference's rerank routes, and a page.

        Each flag is also an environment variable (--max-queue is FIRSTRANK_MAX_QUEUE) and a key of the --config file.
        """
        from firstrank.server.run import run
        from firstrank.server.settings import load_settings

        given = {name: value for name, value in flags.items() if value is not None and value != []}
        run(load_settings(**given), lambda: load_settings(**given))

    parameters = [_parameter(name, field) for name, field in Settings.model_fields.items()]
    parameters.sort(key=lambda parameter: _PANELS.index(parameter.annotation.__metadata__[0].rich_help_panel))
    vars(serve)["__signature__"] = inspect.Signature(parameters)
    serve.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return serve


_PANELS = ["Service", "Model", "Windows", "Access", "Limits"]


def _parameter(name: str, field: Any) -> Any:
    """A setting as a flag: text, but for numbers, and for those that may be given several times."""
    import inspect
    from typing import Annotated, get_args, get_origin

    panel = field.json_schema_extra["panel"]
    default = field.default
    shown = "" if default in (None, (), {}, "") or name == "model" else f" [{','.join(default) if isinstance(default, tuple) else default}]"
    text = typer.Option(f"--{name.replace('_', '-')}", help=field.description + _escaped(shown), rich_help_panel=panel, show_default=False)
    kind: Any = next((kind for kind in (int, float) if field.annotation in (kind, kind | None)), str)
    if get_origin(field.annotation) in (tuple, dict) or any(get_origin(one) in (tuple, dict) for one in get_args(field.annotation)):
        kind = list[str]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, text])


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
