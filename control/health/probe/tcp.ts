// Owns the probe that is content with a connection.
import { failed, good, type Probe } from './probe.ts';
import { connected, end } from './stream.ts';

export const probeTcp: Probe = async (question, signal) => {
  try {
    const { socket } = await connected(question, signal);
    end(socket);
    return good('connected');
  } catch (error) {
    return failed(error);
  }
};
