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
  EEXIST: 'there is something with this name already',
  ENOTEMPTY: 'the folder is not empty',
  EBUSY: 'another program is using it',
  ETXTBSY: 'another program is using it',
  EXDEV: 'it is on another disk',
  ELOOP: 'its symbolic links lead in a circle',
  ENAMETOOLONG: 'the name is too long for this disk',
  EINVAL: 'the system does not accept it',
  EILSEQ: 'the name has characters that this disk does not allow',
  ENOSYS: 'this disk cannot do that',
  ENOTSUP: 'this disk cannot do that',
  EOPNOTSUPP: 'this disk cannot do that',
  EMFILE: 'too many files are open (raise the limit with ulimit -n)',
  ENFILE: 'too many files are open on this machine',
  ENOMEM: 'the machine has no memory left',
  EAGAIN: 'the system has no room for that now',
  EADDRINUSE: 'another program is using this port',
  EADDRNOTAVAIL: 'this machine has no such address',
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the other side ended the connection',
  EPIPE: 'the other side ended the connection',
  EHOSTUNREACH: 'there is no way to that machine',
  ENETUNREACH: 'there is no way to that network',
  ENOTFOUND: 'no machine has this name',
  EAI_AGAIN: 'the name could not be looked up',
  ERR_FS_FILE_TOO_LARGE: 'the file is too large',
  ERR_INVALID_ARG_VALUE: 'the name has characters that no file may have'
}

/** Returns words for an error of the operating system. A rare code that nobody has put into words is named. */
export function systemWords(code: string | undefined): string {
  return code === undefined ? 'something went wrong' : (WORDS[code] ?? `the system reported ${code}`)
}
