/** `2026-11-30 05:12:34Z`: of an instant in a document, the seconds and no more. */
export function formatInstant(iso: string): string {
  return iso.replace('T', ' ').replace(/\.\d+Z$/, 'Z')
}
