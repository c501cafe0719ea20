/** What the reason of a dead letter means, and what helps: for the codes that a remote may give. */

interface Explanation {
  readonly meaning: string
  readonly help: string
}

const retry = 'then comio repl failed retry SEQ'

const byCode: Readonly<Record<string, Explanation>> = {
  CONTENT_MISMATCH: {
    meaning:
      'the bytes that arrived are not those that were stored: they were changed on the way, or here',
    help: `read the object here; if it is whole, ${retry}, else write it again`,
  },
  SIZE_MISMATCH: {
    meaning: 'more or fewer bytes arrived than the change announces',
    help: `look for a proxy between the sites that changes bodies, ${retry}`,
  },
  BODY_MISSING: {
    meaning: 'the change arrived without its bytes',
    help: `look for a proxy between the sites that drops bodies, ${retry}`,
  },
  HASH_UNSUPPORTED: {
    meaning: 'the remote is of a version that does not take objects made of parts',
    help: `run the same version of ComIO at both sites, ${retry}`,
  },
  MALFORMED_BYTES: {
    meaning: 'the remote cannot read the change',
    help: `run the same version of ComIO at both sites, ${retry}`,
  },
  INVALID_NAME: {
    meaning: 'the remote does not take this name',
    help: 'copy the object to another key, and discard the letter',
  },
  METADATA_TOO_LARGE: {
    meaning: 'the remote takes less metadata with an object',
    help: 'write the object with less metadata, which closes the letter',
  },
}

const byStatus: Readonly<Record<string, Explanation>> = {
  413: {
    meaning: 'it is larger than one request to the remote may be',
    help: `give both sites the same replication.batch_bytes and inline_limit, ${retry}`,
  },
  400: {
    meaning: 'the remote, or a proxy before it, refuses this change and takes others',
    help: `the reason has its words; remove the cause, ${retry}`,
  },
  422: {
    meaning: 'the remote, or a proxy before it, refuses this change and takes others',
    help: `the reason has its words; remove the cause, ${retry}`,
  },
  500: {
    meaning: 'the remote fails over this change and takes others',
    help: `the log of the remote has the cause; ${retry}`,
  },
}

const unknown: Explanation = {
  meaning: 'it failed alone, again and again, while other changes passed',
  help: `remove the cause, ${retry}; or discard it`,
}

export function explainReason(reason: string): Explanation {
  const code = /\(([A-Z][A-Z0-9_]+)\)/.exec(reason)?.[1] ?? ''
  const status = /\b(4\d\d|5\d\d)\b/.exec(reason)?.[1] ?? ''
  return byCode[code] ?? byStatus[status] ?? unknown
}
