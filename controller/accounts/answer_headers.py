"""What every answer of the console says to browsers, and the session's cookie.

Nothing from elsewhere, no inline script or style, in no frame, kept nowhere; a route that has pictures or files that
never change says so itself.
"""

from starlette.responses import Response

from db.accounts.console_sessions import LONGEST

CONTENT_SECURITY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob: data:",
        "connect-src 'self'", "font-src 'self'", "media-src 'self'", "manifest-src 'self'", "form-action 'self'",
        "base-uri 'none'", "object-src 'none'", "frame-src 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
PERMISSIONS = ", ".join(
    (
        *(f"{feature}=()" for feature in ("camera", "microphone", "geolocation", "payment", "usb", "serial", "midi")),
        *(f"publickey-credentials-{use}=(self)" for use in ("get", "create")),
        "fullscreen=(self)", "screen-wake-lock=(self)", "autoplay=(self)",
    )
)  # fmt: skip
SECURITY_HEADERS = {
    b"content-security-policy": CONTENT_SECURITY.encode(),
    b"permissions-policy": PERMISSIONS.encode(),
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}
_HSTS = {b"strict-transport-security": b"max-age=31536000"}


def hsts(secure: bool) -> dict[bytes, bytes]:
    """That browsers ask by TLS alone from now on; not said on loopback, where there is none."""
    return _HSTS if secure else {}


def cookie_name(secure: bool) -> str:
    """The session's cookie; under TLS with the prefix that browsers hold to this host, this path and TLS."""
    return "__Host-mien-session" if secure else "mien-session"


def set_session(answer: Response, token: str, secure: bool) -> None:
    """Sign this browser in: a cookie that no page reads and no other site's request brings along."""
    answer.set_cookie(
        cookie_name(secure),
        token,
        max_age=int(LONGEST.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def drop_session(answer: Response, secure: bool) -> None:
    """Sign this browser out."""
    answer.delete_cookie(cookie_name(secure), path="/", secure=secure, httponly=True, samesite="strict")
