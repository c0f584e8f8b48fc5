// Passkeys: the studio's JSON to what browsers want, and back.

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (sign) => sign.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

export const possible = () => Boolean(window.PublicKeyCredential && navigator.credentials);

/** Have the authenticator sign what the studio asks; its answer as JSON. */
export async function sign(options) {
  const allowed = (options.allowCredentials ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
  const made = await asking(() => navigator.credentials.get({ publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: allowed } }));
  const { clientDataJSON, authenticatorData, signature, userHandle } = made.response;
  return {
    id: made.id, rawId: text(made.rawId), type: made.type, clientExtensionResults: {},
    response: { clientDataJSON: text(clientDataJSON), authenticatorData: text(authenticatorData), signature: text(signature), userHandle: userHandle ? text(userHandle) : undefined },
  };
}

/** Have the authenticator make a passkey; its answer as JSON. */
export async function make(options) {
  const present = (options.excludeCredentials ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
  const user = { ...options.user, id: bytes(options.user.id) };
  const made = await asking(() => navigator.credentials.create({ publicKey: { ...options, user, challenge: bytes(options.challenge), excludeCredentials: present } }));
  const { clientDataJSON, attestationObject } = made.response;
  return {
    id: made.id, rawId: text(made.rawId), type: made.type, clientExtensionResults: {},
    response: { clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject), transports: made.response.getTransports?.() ?? [] },
  };
}

async function asking(what) {
  try {
    return await what();
  } catch (error) {
    if (error.name === "InvalidStateError") throw new Error("This device has a passkey for you already");
    if (error.name === "NotAllowedError") throw new Error("No passkey was used: it was cancelled, or it took too long");
    throw new Error(`No passkey was used (${error.name})`);
  }
}
