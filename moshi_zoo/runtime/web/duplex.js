import { microphoneProblem, Problem, requireSecureContext } from "./problem.js";

export const RATE = 24_000;
export const FRAME = 1920; // samples of one step of the model, 80 ms

/** The microphone and the loudspeakers. */
export class Duplex {
  /**
   * Asks for the microphone.
   * @param {boolean} clean    let the browser remove echo and noise and even out the level
   * @param {object} listeners onframe({said, heard, buffered, missed}) every 80 ms, onclose(Problem)
   */
  static async open({ clean }, listeners) {
    requireSecureContext();
    const audio = { channelCount: 1, echoCancellation: clean, noiseSuppression: clean, autoGainControl: clean };
    const stream = await navigator.mediaDevices.getUserMedia({ audio }).catch((error) => {
      throw microphoneProblem(error);
    });
    const duplex = new Duplex(stream);
    try {
      await duplex.#connect(listeners);
    } catch (error) {
      duplex.close();
      throw error;
    }
    return duplex;
  }

  constructor(stream) {
    this.stream = stream;
    this.context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    try {
      this.microphone = this.context.createMediaStreamSource(stream);
    } catch {
      // Some browsers refuse a microphone of another rate than the context's: then the worklet resamples.
      this.context.close();
      this.context = new AudioContext({ latencyHint: "interactive" });
      this.microphone = this.context.createMediaStreamSource(stream);
    }
  }

  /** Plays samples after those that already wait. */
  play(samples) {
    this.node.port.postMessage(samples, [samples.buffer]);
  }

  close() {
    for (const track of this.stream.getTracks()) track.stop();
    this.node?.disconnect();
    if (this.context.state !== "closed") this.context.close();
  }

  async #connect({ onframe, onclose }) {
    await this.context.audioWorklet.addModule(new URL("duplex-worklet.js", import.meta.url));
    this.node = new AudioWorkletNode(this.context, "duplex", {
      channelCount: 1,
      channelCountMode: "explicit", // the browser mixes stereo microphones down
      outputChannelCount: [1],
      processorOptions: { rate: RATE, frameSize: FRAME },
    });
    this.node.port.onmessage = ({ data }) => onframe(data);
    this.microphone.connect(this.node).connect(this.context.destination);
    await this.context.resume();
    this.stream.getAudioTracks()[0].onended = () => onclose(new Problem("The microphone was unplugged or switched off."));
  }
}
