/** S3's rules for general purpose buckets. */
const pattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const address = /^\d+\.\d+\.\d+\.\d+$/

/** Names that the listener keeps for itself. */
const reserved = new Set(['admin'])

export function isBucketName(name: string): boolean {
  return pattern.test(name) && !name.includes('..') && !address.test(name) && !reserved.has(name)
}
