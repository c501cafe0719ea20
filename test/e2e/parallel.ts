/** Calls `work` for 0 to `count` - 1, `width` at a time; the first failure ends it. */
export async function inParallel(
  width: number,
  count: number,
  work: (i: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: width }, worker))
}
