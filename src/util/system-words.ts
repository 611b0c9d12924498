/**
 * The errors of the operating system in words, for people. Only what a dial fails with has words of its own, in
 * `wire/dial-failure.ts`, because an address is no file.
 */
const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the disk is mounted read-only',
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file is larger than this disk allows',
  EIO: 'the disk failed',
  ENODEV: 'the disk is gone',
  ENXIO: 'the disk is gone',
  ESTALE: 'the network drive has lost the file',
  ETIMEDOUT: 'no answer came in time',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'it is a folder, not a file',
  EEXIST: 'something with this name exists already',
  ENOTEMPTY: 'the folder is not empty',
  EBUSY: 'another program is using it',
  ETXTBSY: 'another program is using it',
  EXDEV: 'it is on another disk',
  ELOOP: 'the path has too many symbolic links, or links that lead back to themselves',
  ENAMETOOLONG: 'the name is too long for this disk',
  EINVAL: 'the system does not accept it',
  EILSEQ: 'the name has characters that this disk does not allow',
  ENOSYS: 'this disk cannot do that',
  ENOTSUP: 'this disk cannot do that',
  EOPNOTSUPP: 'this disk cannot do that',
  EMFILE: 'too many files are open (raise the limit with ulimit -n)',
  ENFILE: 'too many files are open on this machine',
  ENOMEM: 'the machine has no memory left',
  EAGAIN: 'the system lacks the resources for this now; try again later',
  EADDRINUSE: 'another program is using this port',
  EADDRNOTAVAIL: 'this machine has no such address',
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the other side ended the connection',
  EPIPE: 'the other side ended the connection',
  EHOSTUNREACH: 'no route leads to that machine',
  ENETUNREACH: 'no route leads to that network',
  ENOTFOUND: 'no machine has this name',
  EAI_AGAIN: 'the name could not be looked up',
  ERR_FS_FILE_TOO_LARGE: 'the file is too large',
  ERR_INVALID_ARG_VALUE: 'the name has characters that no file may have'
}

/** Returns words for an error of the operating system. A rare code without words of its own is named. */
export function systemWords(code: string | undefined): string {
  return code === undefined ? 'something went wrong' : (WORDS[code] ?? `the system reported ${code}`)
}
