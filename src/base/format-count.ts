/** `1,523`: large counts are read in groups of three, whatever the machine's language. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}

/** `1 change`, `1,523 changes`. */
export function countOf(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`
}
