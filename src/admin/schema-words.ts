/** What is wrong with a request, said of the thing that it names and not of a schema. */
import type { FastifySchemaValidationError } from 'fastify'

/** By field: what it must be. Where a field means different things they have the same form. */
const forms: Readonly<Record<string, string>> = {
  bucket: 'a bucket name of 3 to 63 lower-case letters, digits, dots and hyphens',
  remote: 'the name of a remote, of 1 to 32 lower-case letters, digits and hyphens',
  name: 'a name of 1 to 64 letters',
  id: 'the number of a conflict, a whole number from 1 on, of at most 15 digits',
  seq: 'a place in the feed, a whole number from 1 on, of at most 15 digits',
  seqs: 'up to 1000 places in the feed, each a whole number from 1 on',
  limit: 'a whole number from 1 on',
}

const aboutForm: ReadonlySet<string> = new Set([
  ...['pattern', 'minLength', 'maxLength', 'minimum', 'maximum', 'minItems', 'maxItems', 'type'],
])

/** @returns undefined when the words of the schema are as good as any */
export function schemaWords(issues: readonly FastifySchemaValidationError[]): string | undefined {
  const [issue] = issues
  if (issue === undefined || !aboutForm.has(issue.keyword)) return undefined
  const field = issue.instancePath.split('/')[1] ?? ''
  const form = forms[field]
  return form === undefined ? undefined : `${field} must be ${form}`
}
