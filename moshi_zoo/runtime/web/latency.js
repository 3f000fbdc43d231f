const WINDOW = 13; // replies, about a second

/** Time from sending a frame to its reply, which come in the same order, one each. */
export class Latency {
  constructor() {
    this.unanswered = [];
    this.recent = [];
    this.lost = 0;
  }

  sent(now) {
    this.unanswered.push(now);
  }

  received(now) {
    if (!this.unanswered.length) return;
    this.recent.push(now - this.unanswered.shift());
    if (this.recent.length > WINDOW) this.recent.shift();
  }

  /** Forgets frames that get no reply, the oldest, as the server does; it says how many these are by now. */
  dropped(total) {
    this.unanswered.splice(0, total - this.lost);
    this.lost = total;
  }

  /** The median of the last second, in milliseconds; null before the first reply. */
  get median() {
    if (!this.recent.length) return null;
    return [...this.recent].sort((a, b) => a - b)[this.recent.length >> 1];
  }
}
