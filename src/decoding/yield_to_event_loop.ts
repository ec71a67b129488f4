/** Lets timers, signals, progress and other answers have their turn; throws when the signal has fired. */
export async function yieldToEventLoop(signal?: AbortSignal): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal?.throwIfAborted();
}
