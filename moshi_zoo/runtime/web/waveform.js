const BAR = 480; // samples of one bar, 20 ms
const STEP = 4; // pixels from bar to bar
const THICKNESS = 2.5;
const MOST = 1000; // bars that are kept: wider than any screen
const DRAW_MS = 30;
const STILL_MS = 1000; // where motion is unwelcome

/** The last seconds of a voice as bars that wander to the left. */
export class Waveform {
  constructor(canvas, rate) {
    this.canvas = canvas;
    this.barMs = (1000 * BAR) / rate;
    this.levels = [];
    this.fresh = 0; // how many bars came at once
    this.newest = 0; // when they came
    this.drawn = 0;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
  }

  /** Adds samples; returns how loud they are, 0 to 1. */
  push(samples) {
    const levels = [];
    for (let start = 0; start < samples.length; start += BAR) {
      levels.push(loudness(samples.subarray(start, start + BAR)));
    }
    this.levels = [...this.levels, ...levels].slice(-MOST);
    this.fresh = levels.length;
    this.newest = performance.now();
    return Math.max(...levels);
  }

  clear() {
    this.levels = [];
    this.draw();
  }

  /** Draws if it is time to. */
  animate(now) {
    if (now - this.drawn >= (this.still.matches ? STILL_MS : DRAW_MS)) this.draw(now);
  }

  draw(now = performance.now()) {
    this.drawn = now;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const pen = this.#cleanPen(width, height);
    // A frame brings several bars at once: the picture glides over them until the next frame, so that it does not jerk.
    const fresh = this.still.matches ? 0 : Math.max(0, this.fresh - (now - this.newest) / this.barMs);
    for (const [from, to, alpha] of [
      [0, 0.02, 0.4],
      [0.02, Infinity, 1],
    ]) {
      pen.globalAlpha = alpha;
      pen.beginPath();
      for (let i = 0; (i - fresh) * STEP < width; i++) {
        const level = this.levels.at(-1 - i) ?? 0;
        if (level < from || level >= to) continue;
        const length = THICKNESS + level * (height - THICKNESS);
        pen.roundRect(width + (fresh - i - 1) * STEP, (height - length) / 2, THICKNESS, length, THICKNESS / 2);
      }
      pen.fill();
    }
  }

  #cleanPen(width, height) {
    const { canvas } = this;
    const pen = canvas.getContext("2d");
    const [pixelsWide, pixelsHigh] = [width, height].map((size) => Math.round(size * devicePixelRatio));
    if (canvas.width !== pixelsWide || canvas.height !== pixelsHigh) {
      canvas.width = pixelsWide;
      canvas.height = pixelsHigh;
    }
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = getComputedStyle(canvas).color;
    return pen;
  }
}

/** How loud samples sound: 0 at -48 dB, 1 at -4 dB. */
function loudness(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return Math.max(0, Math.min(1, (10 * Math.log10(power + 1e-9) + 48) / 44));
}
