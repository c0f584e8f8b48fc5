// How long ago something was, in words.

/** "just now", "12 min ago", "31 h ago", "5 days ago". iso: UTC. now: ms by the server's clock. */
export function ago(iso, now) {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

export const hours = (iso, now) => (now - Date.parse(iso)) / 3.6e6;
