"""Answers of errors that carry an exit code: they carry it too, for the commands and the page."""

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HTTP_STATUS = {2: 409, 3: 503, 4: 422}


class ErrorAnswers:
    """ASGI middleware: an error that carries an exit code becomes an answer that carries it too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def tell(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, tell)
        except Exception as error:
            code = getattr(error, "exit_code", None)
            if code is None or begun or scope["type"] != "http":
                raise
            answer = JSONResponse({"error": str(error), "exit_code": code}, HTTP_STATUS.get(code, 500))
            await answer(scope, receive, send)
