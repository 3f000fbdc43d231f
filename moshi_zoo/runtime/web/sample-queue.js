/** Samples that wait: pushed in pieces of any length, pulled in pieces of any other. */
export class SampleQueue {
  constructor() {
    this.pieces = [];
    this.length = 0;
  }

  push(samples) {
    if (!samples.length) return;
    this.pieces.push(samples);
    this.length += samples.length;
  }

  /** The oldest `count` samples, with silence after them where there are fewer. */
  pull(count) {
    const pulled = new Float32Array(count);
    let filled = 0;
    while (filled < count && this.pieces.length) {
      const piece = this.pieces[0];
      const part = piece.subarray(0, count - filled);
      pulled.set(part, filled);
      filled += part.length;
      if (part.length === piece.length) this.pieces.shift();
      else this.pieces[0] = piece.subarray(part.length);
    }
    this.length -= filled;
    return pulled;
  }
}
