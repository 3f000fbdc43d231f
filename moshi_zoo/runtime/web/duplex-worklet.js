import { JitterBuffer } from "./jitter-buffer.js";
import { Resampler } from "./resampler.js";
import { SampleQueue } from "./sample-queue.js";

const PULL = 128; // samples asked of the reply at once

/**
 * Microphone and loudspeaker on one clock. Every frame of the model (80 ms) it reports what was said and what was
 * heard in the meantime, so that a recording of both needs no alignment. Replies come in by the port.
 */
class Duplex extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate, frameSize } }) {
    super();
    this.frameSize = frameSize;
    this.toModel = new Resampler(sampleRate, rate);
    this.toSpeaker = new Resampler(rate, sampleRate);
    this.said = new SampleQueue(); // at the model's rate
    this.heard = new SampleQueue(); // at the model's rate
    this.speaker = new SampleQueue(); // at the rate of the sound card
    this.reply = new JitterBuffer(rate);
    this.port.onmessage = ({ data }) => this.reply.push(data);
  }

  process([microphone], [speakers]) {
    const [output] = speakers;
    this.said.push(this.toModel.push(microphone[0] ?? new Float32Array(output.length)));
    while (this.speaker.length < output.length) {
      const samples = this.reply.pull(PULL);
      this.heard.push(samples);
      this.speaker.push(this.toSpeaker.push(samples));
    }
    output.set(this.speaker.pull(output.length));
    while (this.said.length >= this.frameSize) this.report();
    return true;
  }

  report() {
    const said = this.said.pull(this.frameSize);
    const heard = this.heard.pull(this.frameSize);
    const { queue, missed } = this.reply;
    this.port.postMessage({ said, heard, buffered: queue.length, missed }, [said.buffer, heard.buffer]);
  }
}

registerProcessor("duplex", Duplex);
