import { Connection } from "./connection.js";
import { Duplex, RATE } from "./duplex.js";
import { Latency } from "./latency.js";
import { Recording } from "./recording.js";
import { lookAtServer } from "./server.js";

/** One conversation: microphone, loudspeakers, server and recording, joined. */
export class Conversation {
  /**
   * @param {object} settings  {clean, query}: of the microphone and for the server
   * @param {object} listeners onstage(words), onframe({said, heard, latency, buffered, missed}), ontext(phrase),
   *                           onend(Problem or null)
   */
  constructor(settings, listeners) {
    this.settings = settings;
    this.listeners = listeners;
    this.recording = new Recording();
    this.latency = new Latency();
    this.stopped = false;
  }

  /** Runs until the server listens; what fails ends the conversation. */
  async start() {
    const { onstage } = this.listeners;
    const end = (problem) => this.stop(problem);
    try {
      onstage("Looking for the server …");
      await lookAtServer();
      if (this.stopped) return;
      onstage("Waiting for the microphone …");
      this.duplex = await Duplex.open(this.settings, { onframe: (frame) => this.#frame(frame), onclose: end });
      if (this.stopped) return this.#close();
      onstage("Connecting …");
      this.connection = await Connection.open(this.settings.query, {
        onaudio: (samples) => this.#reply(samples),
        ontext: (piece, speaker) => this.listeners.ontext(this.recording.addText(piece, speaker)),
        onmetadata: ({ dropped = 0 }) => this.latency.dropped(dropped),
        onclose: end,
      });
      if (this.stopped) return this.#close();
      onstage("Talking");
    } catch (problem) {
      this.stop(problem);
    }
  }

  stop(problem = null) {
    if (this.stopped) return;
    this.stopped = true;
    this.#close();
    this.listeners.onend(problem);
  }

  #close() {
    this.connection?.close();
    this.duplex?.close();
  }

  #frame({ said, heard, buffered, missed }) {
    if (!this.connection || this.stopped) return; // the server does not listen yet
    this.latency.sent(performance.now());
    this.connection.send(said);
    this.recording.addFrame(said, heard);
    const figures = { latency: this.latency.median, buffered: buffered / RATE, missed: missed / RATE };
    this.listeners.onframe({ said, heard, ...figures });
  }

  #reply(samples) {
    this.latency.received(performance.now());
    this.duplex.play(samples);
  }
}
