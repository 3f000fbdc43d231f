/** Changes the rate of a stream of samples: a windowed sinc, one kernel for each phase between two input samples. */
export class Resampler {
  /**
   * @param {number} from  samples a second that come in
   * @param {number} to    samples a second that go out
   * @param {number} zeros zero crossings of the sinc on each side
   */
  constructor(from, to, zeros = 16) {
    const divisor = greatestCommonDivisor(from, to);
    this.up = to / divisor;
    this.down = from / divisor;
    const cutoff = 0.94 * Math.min(1, to / from); // of the input's Nyquist frequency; the rest is the roll-off
    const half = Math.ceil(zeros / cutoff);
    this.taps = 2 * half;
    this.kernels = Array.from({ length: this.up }, (_, phase) =>
      Float32Array.from({ length: this.taps }, (_, tap) => {
        const distance = tap - half + 1 - phase / this.up; // from the output's place, in input samples
        const hann = 0.5 + 0.5 * Math.cos((Math.PI * distance) / half);
        return cutoff * sinc(cutoff * distance) * hann;
      }),
    );
    this.past = new Float32Array(this.taps - 1); // silence before the start
    this.position = 0; // of the next output, in 1/up input samples from the start of `past`
  }

  /** Takes any number of samples and returns what can be said by now, in memory of its own. */
  push(samples) {
    if (this.up === this.down) return samples.slice(); // the browser writes into the same memory again
    const input = new Float32Array(this.past.length + samples.length);
    input.set(this.past);
    input.set(samples, this.past.length);
    const output = [];
    for (;;) {
      const start = Math.floor(this.position / this.up);
      if (start + this.taps > input.length) break;
      const kernel = this.kernels[this.position % this.up];
      let sum = 0;
      for (let tap = 0; tap < this.taps; tap++) sum += kernel[tap] * input[start + tap];
      output.push(sum);
      this.position += this.down;
    }
    const used = Math.min(Math.floor(this.position / this.up), input.length);
    this.position -= used * this.up;
    this.past = input.slice(used);
    return Float32Array.from(output);
  }
}

function greatestCommonDivisor(a, b) {
  return b ? greatestCommonDivisor(b, a % b) : a;
}

function sinc(x) {
  return x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1;
}
