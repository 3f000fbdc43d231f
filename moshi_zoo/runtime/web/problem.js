/** Something that the user can understand and mend: its message is shown as it is. */
export class Problem extends Error {}

/** What the server itself says is wrong. */
export function serverProblem(words) {
  return new Problem(`The server says: ${words.replace(/\.?$/, ".")}`);
}

/** What getUserMedia's refusal means, in words. */
export function microphoneProblem(error) {
  const words = {
    NotFoundError: "No microphone found. Plug one in, or switch it on in the system's settings, and try again.",
    NotAllowedError:
      "The microphone is not allowed here. Allow it in the browser (the icon beside the address) and try again.",
    NotReadableError: "The microphone cannot be opened: another program may be using it.",
  };
  return new Problem(words[error.name] ?? `The microphone cannot be opened: ${error.message || error.name}.`);
}

/** Browsers give the microphone only to pages from this machine or over HTTPS. */
export function requireSecureContext() {
  if (window.isSecureContext && navigator.mediaDevices) return;
  throw new Problem(
    `The browser gives no microphone to pages from ${location.origin}: the connection is not secure. Open the page ` +
      "over https, or on the server's own machine as http://localhost (an SSH tunnel does: ssh -L " +
      `${location.port || 80}:localhost:${location.port || 80} ${location.hostname}).`,
  );
}
