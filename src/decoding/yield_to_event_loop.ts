/**
 * Waits for a turn of the event loop, so that timers, signals, progress and other answers have theirs.
 * @throws the signal's reason where the signal was aborted
 */
export async function yieldToEventLoop(signal?: AbortSignal): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal?.throwIfAborted();
}
