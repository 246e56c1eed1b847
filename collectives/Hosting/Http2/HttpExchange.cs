using System.Globalization;
using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Distributed.Collectives.Hosting.Http2;

/// <summary>A call that a server has taken, as the web framework sees it: the request, the response, and how either ends.</summary>
internal sealed class HttpExchange : IHttpRequestBodyDetectionFeature, IRequestBodyPipeFeature, IHttpResponseFeature, IHttpResponseBodyFeature,
    IHttpResponseTrailersFeature, IHttpResetFeature, IHttpRequestLifetimeFeature, IDisposable
{
    // A segment is mostly in two pieces.
    private static readonly StreamPipeReaderOptions ReaderOptions = new(bufferSize: 64 << 10, minimumReadSize: 2 << 10);

    private readonly CallConnection _connection;
    private readonly CancellationTokenSource _aborted = new();
    private readonly Stack<(Func<object, Task> Callback, object State)> _starting = [];
    private readonly Stack<(Func<object, Task> Callback, object State)> _completed = [];
    private readonly CallBodyWriter _writer;
    private bool _isComplete;

    /// <param name="connection">Its header fields have been read.</param>
    /// <param name="tls">What protects it, if anything does.</param>
    public HttpExchange(CallConnection connection, SslStream? tls)
    {
        _connection = connection;
        var fields = connection.TakeFields();
        var request = new HttpRequestFeature
        {
            Protocol = "HTTP/2",
            Method = Pseudo(fields, ":method"),
            Scheme = tls is null ? "http" : "https",
            RawTarget = Pseudo(fields, ":path"),
            Headers = Dictionary(fields),
        };
        var query = request.RawTarget.IndexOf('?', StringComparison.Ordinal);
        (request.Path, request.QueryString) = query < 0 ? (request.RawTarget, "") : (request.RawTarget[..query], request.RawTarget[query..]);
        var body = new CallBody(connection, static () => { });
        request.Body = body;
        Reader = PipeReader.Create(body, ReaderOptions);
        RequestAborted = _aborted.Token;
        _writer = new CallBodyWriter(connection, StartAsync);

        Features.Set<IHttpRequestFeature>(request);
        Features.Set<IHttpRequestBodyDetectionFeature>(this);
        Features.Set<IRequestBodyPipeFeature>(this);
        Features.Set<IHttpResponseFeature>(this);
        Features.Set<IHttpResponseBodyFeature>(this);
        Features.Set<IHttpResponseTrailersFeature>(this);
        Features.Set<IHttpResetFeature>(this);
        Features.Set<IHttpRequestLifetimeFeature>(this);
        Features.Set<IHttpConnectionFeature>(new HttpConnectionFeature());
        if (tls is not null)
        {
            Features.Set<ITlsConnectionFeature>(new TlsConnectionFeature { ClientCertificate = tls.RemoteCertificate as X509Certificate2 });
        }
    }

    public IFeatureCollection Features { get; } = new FeatureCollection();

    /// <inheritdoc/>
    public bool CanHaveBody => true;

    /// <inheritdoc/>
    public PipeReader Reader { get; }

    /// <inheritdoc/>
    public int StatusCode { get; set; } = StatusCodes.Status200OK;

    /// <inheritdoc/>
    public string? ReasonPhrase { get; set; }

    /// <inheritdoc/>
    public IHeaderDictionary Headers { get; set; } = new HeaderDictionary();

    /// <inheritdoc/>
    public IHeaderDictionary Trailers { get; set; } = new HeaderDictionary();

    /// <inheritdoc/>
    public Stream Body { get => Stream; set => throw new NotSupportedException(); }

    /// <inheritdoc/>
    public bool HasStarted { get; private set; }

    /// <inheritdoc/>
    public Stream Stream => _writer.AsStream(leaveOpen: true);

    /// <inheritdoc/>
    public PipeWriter Writer => _writer;

    /// <inheritdoc/>
    public CancellationToken RequestAborted { get; set; }

    /// <inheritdoc/>
    public void OnStarting(Func<object, Task> callback, object state) => _starting.Push((callback, state));

    /// <inheritdoc/>
    public void OnCompleted(Func<object, Task> callback, object state) => _completed.Push((callback, state));

    /// <inheritdoc/>
    public void DisableBuffering()
    {
        // There is none beyond a flush.
    }

    /// <inheritdoc/>
    public Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken = default) => HasStarted ? Task.CompletedTask : WriteHeadAsync(isLast: false, cancellationToken);

    /// <inheritdoc/>
    public async Task CompleteAsync()
    {
        if (_isComplete)
        {
            return;
        }

        if (_writer.UnflushedBytes > 0)
        {
            await _writer.FlushAsync();
        }

        if (!HasStarted)
        {
            await WriteHeadAsync(isLast: Trailers.Count == 0, CancellationToken.None);
        }

        if (!_isComplete && Trailers.Count > 0)
        {
            await _connection.WriteHeadersAsync(Block(Trailers), isLast: true, CancellationToken.None);
        }
        else if (!_isComplete)
        {
            await _connection.WriteBodyAsync(ReadOnlyMemory<byte>.Empty, isLast: true, CancellationToken.None);
        }

        _isComplete = true;
    }

    /// <summary>Completes the response after its handler.</summary>
    public async Task EndAsync()
    {
        await CompleteAsync();
        foreach (var (callback, state) in _completed)
        {
            await callback(state);
        }
    }

    /// <inheritdoc/>
    public void Reset(int errorCode)
    {
        _isComplete = true;
        _ = ResetAsync((Http2Error)errorCode);
    }

    /// <inheritdoc/>
    public void Abort()
    {
        _connection.Dispose();
        _aborted.Cancel();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _aborted.Cancel();
        _aborted.Dispose();
    }

    private async Task ResetAsync(Http2Error error)
    {
        try
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(1));
            await _connection.ResetAsync(error, limit.Token);
        }
        catch (Exception exception) when (exception is IOException or ObjectDisposedException or OperationCanceledException)
        {
            // The connection is over, which says the same.
        }
    }

    private async Task WriteHeadAsync(bool isLast, CancellationToken cancellationToken)
    {
        while (_starting.TryPop(out var starting))
        {
            await starting.Callback(starting.State);
        }

        HasStarted = true;
        _isComplete |= isLast;
        var block = new HeaderWriter();
        block.Add(":status", StatusCode.ToString(CultureInfo.InvariantCulture));
        await _connection.WriteHeadersAsync(Add(block, Headers), isLast, cancellationToken);
    }

    private static HeaderWriter Block(IHeaderDictionary fields) => Add(new HeaderWriter(), fields);

    private static HeaderWriter Add(HeaderWriter block, IHeaderDictionary fields)
    {
        foreach (var (name, values) in fields)
        {
            foreach (var value in values)
            {
                block.Add(name, value ?? "");
            }
        }

        return block;
    }

    private static string Pseudo(List<(string Name, string Value)> fields, string name) => fields.FirstOrDefault(field => field.Name == name).Value ?? "";

    private static HeaderDictionary Dictionary(List<(string Name, string Value)> fields)
    {
        var headers = new HeaderDictionary();
        foreach (var (name, value) in fields)
        {
            var known = name == ":authority" ? "Host" : name;
            if (!known.StartsWith(':'))
            {
                headers.Append(known, value);
            }
        }

        return headers;
    }
}
