/**
 * What a page can do in a session of each kind. config.json tells the kind of each model.
 *
 * `takesText`: it may send text, and ask the assistant to speak. `mute`, `unmute`: the events for it, where silence
 * alone is not enough. `leave`: the event that ends the session, and `left` the provider's answer.
 */
export const KINDS = {
  realtime: { takesText: true },
  // The service locks the data channel of a GPT-Live session to these events, and to those that the page only reads.
  live: {
    takesText: false,
    hint: "GPT-Live: it listens and speaks at the same time. This page can mute and leave, and sends no text.",
    mute: "session.input_audio.mute",
    unmute: "session.input_audio.unmute",
    leave: "session.close",
    left: "session.closed",
  },
};
