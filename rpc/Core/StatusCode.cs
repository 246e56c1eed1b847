namespace Grpc.Core;

/// <summary>The outcome of a call, with the numbers that travel as <c>grpc-status</c> (grpc/doc/statuscodes.md).</summary>
public enum StatusCode
{
    /// <summary>The call succeeded.</summary>
    OK = 0,

    /// <summary>The call was cancelled, usually by its caller.</summary>
    Cancelled = 1,

    /// <summary>The server failed without saying how, or with a code that this side does not know.</summary>
    Unknown = 2,

    /// <summary>The caller passed an argument that is wrong whatever the state of the system.</summary>
    InvalidArgument = 3,

    /// <summary>The deadline passed before the call ended; the operation may have been carried out all the same.</summary>
    DeadlineExceeded = 4,

    /// <summary>What was asked for does not exist.</summary>
    NotFound = 5,

    /// <summary>What was to be created exists already.</summary>
    AlreadyExists = 6,

    /// <summary>The caller is known but must not do this.</summary>
    PermissionDenied = 7,

    /// <summary>A quota, a size limit or memory is used up.</summary>
    ResourceExhausted = 8,

    /// <summary>The system is not in the state that the operation needs; do not retry before that has changed.</summary>
    FailedPrecondition = 9,

    /// <summary>The operation was aborted by a conflict; retry it from a higher level.</summary>
    Aborted = 10,

    /// <summary>The operation went past the valid range.</summary>
    OutOfRange = 11,

    /// <summary>The method, or the message encoding, is not implemented by the server.</summary>
    Unimplemented = 12,

    /// <summary>An invariant broke: a malformed message, a broken protocol.</summary>
    Internal = 13,

    /// <summary>The server cannot be reached now; the call can be retried.</summary>
    Unavailable = 14,

    /// <summary>Data was lost or corrupted beyond repair.</summary>
    DataLoss = 15,

    /// <summary>The caller did not prove who it is.</summary>
    Unauthenticated = 16,
}
