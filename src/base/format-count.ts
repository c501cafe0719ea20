/** `1,523`: large counts are read in groups of three, whatever the machine's language. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}
