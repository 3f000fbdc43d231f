import { SampleQueue } from "./sample-queue.js";

const MARGIN = { first: 0.04, step: 0.02, most: 0.2 }; // seconds that a piece may come late
const TOO_MUCH = 0.24; // seconds above the margin: more would make the conversation slow

/**
 * Evens out when the pieces of a reply arrive. Playing starts a margin after the first piece; a gap makes the margin
 * larger, and of what piles up after a stall all but the newest piece and the margin is skipped. Both are counted in
 * `missed`, in samples.
 */
export class JitterBuffer {
  constructor(rate) {
    this.rate = rate;
    this.queue = new SampleQueue();
    this.margin = MARGIN.first * rate;
    this.wait = this.margin; // silence still to come, once a piece is there, before it is played
    this.playing = false;
    this.begun = false;
    this.gap = 0; // silence since the buffer ran empty: missed only if the reply goes on
    this.missed = 0;
  }

  push(samples) {
    this.queue.push(samples);
    const surplus = Math.round(this.queue.length - this.margin);
    if (surplus <= TOO_MUCH * this.rate) return;
    const skipped = Math.max(0, surplus - samples.length);
    this.queue.pull(skipped);
    this.missed += skipped;
  }

  /** The next `count` samples to play: silence while it waits. */
  pull(count) {
    if (!this.playing) this.#waitFor(count);
    if (!this.playing) return new Float32Array(count);
    const short = count - this.queue.length;
    if (short > 0) {
      this.playing = false;
      this.gap = short;
      this.margin = Math.min(this.margin + MARGIN.step * this.rate, MARGIN.most * this.rate);
      this.wait = this.margin;
    }
    return this.queue.pull(count);
  }

  #waitFor(count) {
    if (this.queue.length && this.wait <= 0) {
      this.playing = this.begun = true;
      this.missed += this.gap;
      this.gap = 0;
      return;
    }
    if (this.queue.length) this.wait -= count;
    if (this.begun) this.gap += count;
  }
}
