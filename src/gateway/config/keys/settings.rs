//! Rows: the file itself and its settings.

use super::{Key, Section, State, keys};

keys! { FILE of File;
    yes "model_list", "list of objects", "", "The models.";
    yes "mcp_servers", "object of objects", "", "The MCP servers, by their names.";
    yes "litellm_settings", "object", "", "Settings of calls to models.";
    yes "router_settings", "object", "", "How one of several deployments is chosen; wins over `litellm_settings`.";
    yes "general_settings", "object", "", "Settings of the gateway itself.";
    yes "environment_variables", "object of texts", "", "Variables for `os.environ/NAME` and for the keys of providers; they win over those of the process.";
    yes "keys", "list of objects", "", "Keys beside the master key. Ours.";
    planned "with files that are read into this one": "include";
    planned "with tools that the gateway has itself": "mcp_tools" "search_tools" "sandbox_tools";
    planned "with guardrails": "guardrails" "policies" "policy_attachments";
    planned "with callbacks": "callback_settings";
    not "credentials stand where they are used, or in variables": "credential_list";
    not "only chat completions and MCP are served": "assistant_settings" "files_settings" "finetune_settings" "vector_store_registry" "agent_list" "agents" "prompts" "default_vertex_config" "classifier_plugin" "plugins";
    not "a gateway is one process": "worker_registry";
}

keys! { GENERAL of General;
    yes "master_key", "text", "`TOOLBRIDGE_MASTER_KEY`, `LITELLM_MASTER_KEY`", "The key that may do everything. Without any key the gateway listens on this machine alone.";
    yes "allowed_hosts", "list of texts", "names of this machine", "Names that the gateway is called by, without a port. Ours.";
    yes "allowed_origins", "list of texts", "pages of this machine", "Pages of browsers that may use it, as in `https://app.example`; `*` is every page. Ours.";
    yes "max_request_size_mb", "number", "16 for MCP, 64 for chat", "The longest body of a request, in MiB.";
    yes "max_connections", "number", "`10000`", "Connections at once; more of them wait. Ours.";
    yes "max_header_bytes", "number", "`65536`", "The headers of a request, in bytes. Ours.";
    yes "header_timeout", "seconds", "`30`", "How long a client may take to send them. Ours.";
    yes "body_timeout", "seconds", "`120`", "How long a client may take to send a body, from its first byte to its last. Ours.";
    yes "send_timeout", "seconds", "`120`", "How long a client may take nothing of what it is sent, before its connection ends. Ours.";
    yes "max_sessions", "number", "`10000`", "Sessions of MCP clients at once. Ours.";
    yes "max_requests_per_session", "number", "`1000`", "Requests of one session at once. Ours.";
    yes "shutdown_timeout", "seconds", "`30`", "How long what is in flight may take to end once the gateway stops. Ours.";
    yes "token_file", "text", "`toolbridge/tokens.json` in `XDG_STATE_HOME`, else in `~/.local/state`", "Where `toolbridge authorize` keeps tokens. Ours.";
    planned "with limits of the gateway": "max_parallel_requests" "global_max_parallel_requests" "max_response_size_mb" "max_batch_file_size_mb" "disable_retry_on_max_parallel_request_limit_error";
    planned "with a model for requests that name none": "completion_model" "infer_model_from_keys";
    planned "with checks of health in the background": "background_health_checks" "health_check_interval" "health_check_details" "health_check_concurrency" "health_check_skip_disabled_background_models" "enable_health_check_routing" "health_check_staleness_threshold" "health_check_ignore_transient_errors" "use_shared_health_check" "allow_public_health_readiness_details" "enable_drain_endpoint" "drain_endpoint_token";
    planned "with callers that are told apart by address": "allowed_ips" "use_x_forwarded_for" "trusted_proxy_ranges" "mcp_internal_ip_ranges" "mcp_trusted_proxy_ranges" "mcp_xff_num_trusted_hops";
    planned "with other headers for keys": "litellm_key_header_name" "mcp_client_side_auth_header_name" "mcp_client_id_header" "user_header_name" "user_header_mappings";
    planned "with rules for paths and parameters": "allowed_routes" "admin_only_routes" "public_routes" "enforced_params" "enforce_user_param" "reject_clientside_metadata_tags";
    planned "with headers that go on to providers": "forward_client_headers_to_llm_api" "forward_openai_org_id" "forward_llm_provider_auth_headers";
    planned "with clients of MCP that are chosen": "mcp_allowed_clients" "mcp_advertised_versions" "mcp_disabled_capabilities" "mcp_require_explicit_server_scope" "mcp_required_fields" "mcp_allow_all_keys_respects_mcp_scope" "require_key_mcp_access_defined" "require_end_user_mcp_access_defined" "mcp_prefer_client_id_metadata_document" "enable_mcp_registry";
    planned "with tokens of an identity provider as keys": "enable_jwt_auth" "litellm_jwtauth" "enable_oauth2_auth" "enable_oauth2_proxy_auth" "oauth2_config_mappings" "enforce_rbac" "role_permissions";
    planned "with the state of several gateways in one place": "coordination_redis" "token_rate_limit_type" "use_redis_transaction_buffer";
    planned "with traces": "otel" "always_include_stream_usage" "expose_fallback_errors_to_caller";
    not "a request that its client gave up is always cancelled": "cancel_on_disconnect";
    not "the file is read again when it changes": "proxy_config_reload_interval_seconds" "store_model_in_db" "supported_db_objects" "control_plane_url";
    not "keys stand in the configuration, not in a database": "database_url" "database_connection_pool_limit" "database_connection_pool_timeout" "database_connection_timeout" "database_connect_timeout" "database_socket_timeout" "database_extra_connection_params" "database_disable_prepared_statements" "database_type" "database_args" "allow_requests_on_db_unavailable" "disable_prisma_schema_update" "disable_adding_master_key_hash_to_db" "custom_key_generate" "custom_key_update" "default_team_disabled" "disable_key_generate_for_org_admin" "user_api_key_cache_ttl" "service_account_settings" "use_team_public_model_name" "custom_team_metadata_validate" "team_metadata_schema" "team_metadata_validation_error_message" "team_metadata_validation_timeout" "disable_auto_add_proxy_admin_to_teams" "passthrough_managed_object_ids" "disable_master_key_return";
    not "what was spent is not kept": "disable_spend_logs" "disable_spend_updates" "disable_error_logs" "store_prompts_in_spend_logs" "disable_reset_budget" "disable_budget_reservation" "fail_closed_budget_enforcement" "apply_user_budget_to_team_keys" "spend_report_frequency" "proxy_budget_rescheduler_min_time" "proxy_budget_rescheduler_max_time" "proxy_batch_write_at" "proxy_batch_polling_interval" "maximum_spend_logs_retention_period" "maximum_spend_logs_retention_interval" "maximum_spend_logs_cleanup_cron" "maximum_spend_logs_cleanup_batch_size" "maximum_spend_logs_cleanup_max_batches" "maximum_spend_logs_cleanup_run_budget" "maximum_spend_logs_cleanup_batch_timeout" "maximum_autorouter_session_retention_period" "maximum_health_check_retention_period" "use_spend_logs_partitioning" "scheduled_job_stagger" "track_unmanaged_batch_cost";
    not "there is no user interface": "ui_access_mode" "custom_sso" "custom_ui_sso_sign_in_handler" "auto_redirect_ui_login_to_sso" "hide_default_credentials_hint" "allow_cli_sso_verification_uri_complete" "enable_public_model_hub" "user_mcp_management_mode" "allow_user_auth";
    not "metrics and logs are what alarms are made of": "alerting" "alerting_threshold" "alerting_args" "alert_types" "alert_type_config" "alert_to_webhook_url";
    not "secrets come from variables": "key_management_system" "key_management_settings" "use_google_kms" "use_azure_key_vault";
    not "no code is loaded from a configuration": "custom_auth" "custom_auth_run_common_checks" "plugins";
    not "a caller never says where a request goes or with whose key": "allow_client_side_credentials" "user_url_validation" "user_url_allowed_hosts" "provider_url_destination_allowed_hosts";
    not "only chat completions and MCP are served": "pass_through_endpoints" "pass_through_request_timeout" "use_client_credentials_pass_through_routes" "image_generation_model" "embedding_model" "moderation_model" "search_tools" "disable_responses_id_security" "disable_bedrock_agent_runtime_passthrough" "use_legacy_interactions_schema" "disable_batch_input_file_rate_limiting" "skip_batch_input_file_rate_limiting_for_models" "skip_batch_input_file_rate_limiting_for_providers";
    not "nothing here needs one": "litellm_license";
}

keys! { CALLER_KEY of CallerKey;
    yes "name", "text", "required", "What logs and metrics call it.";
    yes "key", "text", "required", "The key, best as `os.environ/NAME`, or `sha256:` and its digest in hexadecimal.";
    yes "servers", "list of texts", "all", "The MCP servers that it may use, by name or alias; `[]` is none.";
    yes "access_groups", "list of texts", "", "Access groups of MCP servers that it may use, beside `servers`.";
    yes "tools", "list of texts", "all", "The tools that it may use, by their own names or as `server-tool`.";
    yes "models", "list of texts", "all", "The models that it may use.";
}

keys! { LITELLM of Litellm;
    yes "mcp_aliases", "object of texts", "", "From other names of MCP servers to their names.";
    yes "drop_params", "boolean", "`false`", "Parameters that a model does not take are left out instead of refused.";
    yes "num_retries", "number", "`2`", "How often a failed request goes out again, to another deployment where there is one.";
    yes "request_timeout", "seconds", "`600`", "How long an answer may take.";
    yes "allowed_fails", "number", "", "How many failures within a cooldown time leave a deployment in use. Without it, it is left alone when more than half of the requests of a minute failed (at least 5), and after a status 401 or 404, or 429 where there is another.";
    yes "cooldown_time", "seconds", "`5`", "How long it is left alone.";
    yes "fallbacks", "list of objects of lists", "", "Other models that are asked when one fails, as `- model: [other, …]`.";
    yes "context_window_fallbacks", "list of objects of lists", "", "The same for messages that are too long.";
    yes "content_policy_fallbacks", "list of objects of lists", "", "The same for messages that a content policy refused.";
    yes "default_fallbacks", "list of texts", "", "The same for models without any of their own.";
    yes "max_fallbacks", "number", "`5`", "How many other models are asked for one request.";
    yes "require_auth_for_metrics_endpoint", "boolean", "`true`", "`false` lets `/metrics` be read without a key.";
    yes "callbacks", "list of texts", "", "`otel` switches traces on, to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` or, as LiteLLM has it, `OTEL_ENDPOINT` names, with the headers of `OTEL_HEADERS`; a collector that the first of them names gets traces without it too. `prometheus` is always on. There are no others.";
    yes "forward_traceparent_to_llm_provider", "boolean", "`true`", "Whether the trace that a request belongs to, a caller's own or that of the gateway, goes on to the provider (`traceparent`, `tracestate`).";
    yes "sse_keepalive_ping_interval_seconds", "seconds", "`15` where tools of MCP servers are called, else never", "How long a stream of a chat completion may be silent before a comment (`: ping`) fills it; `0` is never.";
    yes "json_logs", "boolean", "`false`", "Logs are JSON, as with `--log-format json`.";
    planned "with a cache of answers": "cache" "cache_params" "caching" "caching_with_models" "enable_caching_on_provider_specific_optional_params" "enable_redis_auth_cache" "default_in_memory_ttl" "default_redis_ttl" "default_redis_batch_cache_expiry";
    planned "with callbacks": "success_callback" "failure_callback" "service_callbacks" "service_callback" "input_callback" "audit_log_callbacks" "turn_off_message_logging" "redact_user_api_key_info" "langfuse_default_tags" "callback_settings" "global_disable_no_log_param" "store_audit_logs" "log_raw_request_response" "disable_streaming_logging" "datadog_params" "datadog_llm_observability_params" "newrelic_params" "s3_callback_params" "s3_audit_callback_params" "aws_sqs_callback_params" "generic_logger_headers" "langsmith_batch_size" "argilla_batch_size" "argilla_transformation_object" "cold_storage_custom_logger" "standard_logging_payload_excluded_fields" "allow_dynamic_callback_disabling" "request_correlation_in_logs";
    planned "with more metrics": "custom_prometheus_metadata_labels" "custom_prometheus_tags" "prometheus_metrics_config" "prometheus_latency_buckets" "prometheus_initialize_budget_metrics" "prometheus_exclude_labels" "prometheus_exclude_metrics" "prometheus_emit_stream_label" "prometheus_emit_rate_limit_labels" "enable_end_user_cost_tracking_prometheus_only" "disable_end_user_cost_tracking" "disable_end_user_cost_tracking_prometheus_only";
    planned "with guardrails": "guardrails" "output_parse_pii" "presidio_ad_hoc_recognizers" "presidio_logging_only" "llm_guard_mode" "skip_system_message_in_guardrail" "skip_tool_message_in_guardrail" "banned_keywords_list" "blocked_user_list";
    planned "with the search of tools": "mcp_semantic_tool_filter" "mcp_tool_search";
    planned "with certificates and sockets of providers": "ssl_verify" "ssl_certificate" "ssl_security_level" "ssl_ecdh_curve" "force_ipv4" "aiohttp_trust_env";
    planned "with the prices of models": "cost_discount_config" "cost_margin_config" "include_cost_in_streaming_usage" "block_requests_for_models_without_pricing" "model_cost_map_url" "max_budget" "budget_duration" "tag_budget_config";
    planned "with other providers": "modify_params" "anthropic_prompt_caching_ttl" "enable_anthropic_prompt_caching" "vertex_project" "vertex_location" "vertex_ai_safety_settings" "bedrock_request_metadata_fields" "reasoning_auto_summary" "enable_preview_features" "use_chat_completions_url_for_anthropic_messages" "route_all_chat_openai_to_responses" "disable_add_transform_inline_image_block" "disable_copilot_system_to_assistant" "disable_stop_sequence_limit" "add_function_to_prompt" "custom_prompt_dict" "enable_azure_ad_token_refresh";
    planned "with names of models that stand for others everywhere": "model_alias_map" "model_group_settings" "public_model_groups" "public_mcp_servers" "public_agent_groups" "public_model_groups_links" "public_mcp_hub_strict_whitelist";
    planned "with headers and checks of answers": "return_response_headers" "filter_invalid_headers" "enable_json_schema_validation" "add_user_information_to_llm_headers" "overwrite_user_with_key_hash" "headers";
    not "keys, teams and budgets stand in no database": "key_generation_settings" "default_internal_user_params" "default_key_generate_params" "upperbound_key_generate_params" "default_team_settings" "default_team_params" "max_internal_user_budget" "default_max_internal_user_budget" "internal_user_budget_duration" "max_end_user_budget" "max_end_user_budget_id" "max_user_budget" "max_ui_session_budget" "default_soft_budget" "default_key_max_budget_alert_emails" "enable_key_alias_format_validation" "validate_end_user_id_in_db" "scim_admin_group" "scim_upsert_user" "priority_reservation" "priority_reservation_settings" "budget_exceeded_throttle_percentage" "extra_spend_tag_headers" "disable_add_user_agent_to_request_tags";
    not "no code is loaded from a configuration": "custom_provider_map" "pre_call_rules" "post_call_rules" "adapters" "websearch_interception_params";
    not "it belongs to LiteLLM's own insides": "set_verbose" "suppress_debug_info" "telemetry" "disable_hf_tokenizer_download" "disable_token_counter" "use_aiohttp_transport" "disable_aiohttp_transport" "disable_aiohttp_trust_env" "use_client" "use_litellm_proxy" "LITELLM_DISABLE_STOP_SEQUENCE_LIMIT" "redact_messages_in_exceptions" "expose_router_debug_in_errors" "safe_memory_mode" "global_bitbucket_config" "global_gitlab_config" "global_prompt_directory" "enable_model_config_credential_overrides" "num_retries_per_request" "enable_loadbalancing_on_batch_endpoints" "require_managed_files" "vector_store_registry" "credential_list";
    not "keys of providers stand in litellm_params or in variables": "api_key" "api_base" "api_version" "openai_key" "azure_key" "anthropic_key" "cohere_key" "groq_key" "replicate_key" "huggingface_key" "openrouter_key" "organization" "token";
}

keys! { ROUTER of Router;
    yes "routing_strategy", "`simple-shuffle`, `least-busy`, `latency-based-routing` or `usage-based-routing-v2`", "`simple-shuffle`", "How a deployment is chosen.";
    yes "routing_strategy_args", "object", "", "More about it; see below.";
    yes "num_retries", "number", "`2`", "How often a failed request goes out again, to another deployment where there is one.";
    yes "max_retries", "number", "", "The same as `num_retries`.";
    yes "timeout", "seconds", "`600`", "How long an answer may take.";
    yes "stream_timeout", "seconds", "`timeout`", "How long a stream may take to begin, and be silent.";
    yes "retry_after", "seconds", "`0`", "The shortest wait before a request goes out again.";
    yes "retry_policy", "object", "", "How often it does for each kind of failure; see below.";
    yes "model_group_retry_policy", "object of objects", "", "The same for the names of single models.";
    yes "allowed_fails", "number", "", "How many failures within a cooldown time leave a deployment in use. Without it, it is left alone when more than half of the requests of a minute failed (at least 5), and after a status 401 or 404, or 429 where there is another.";
    yes "allowed_fails_policy", "object", "", "The same for each kind of failure; see below.";
    yes "cooldown_time", "seconds", "`5`", "How long it is left alone.";
    yes "disable_cooldowns", "boolean", "`false`", "No deployment is ever left alone.";
    yes "fallbacks", "list of objects of lists", "", "Other models that are asked when one fails, as `- model: [other, …]`.";
    yes "context_window_fallbacks", "list of objects of lists", "", "The same for messages that are too long.";
    yes "content_policy_fallbacks", "list of objects of lists", "", "The same for messages that a content policy refused.";
    yes "default_fallbacks", "list of texts", "", "The same for models without any of their own.";
    yes "max_fallbacks", "number", "`5`", "How many other models are asked for one request.";
    yes "model_group_alias", "object of texts, or of `{model, hidden}`", "", "Other names of models.";
    yes "default_max_parallel_requests", "number", "", "Requests at once of a deployment that does not say.";
    yes "default_litellm_params", "object", "", "Parameters of every request that has them not itself.";
    yes "enable_pre_call_checks", "boolean", "`false`", "Deployments whose `model_info.max_input_tokens`, or else the one that the catalogue of models has, is too small for a request are not asked.";
    planned "with the state of several gateways in one place": "redis_host" "redis_password" "redis_port" "redis_db" "redis_url" "cache_kwargs";
    planned "with a cache of answers": "cache_responses" "caching_groups";
    planned "with routing by tags": "enable_tag_filtering" "tag_filtering_match_any" "tag_routing_prefix";
    planned "with the prices of models": "provider_budget_config";
    planned "with deployments that are chosen by who asked before": "optional_pre_call_checks" "deployment_affinity_ttl_seconds" "model_group_affinity_config";
    planned "with checks of health in the background": "enable_health_check_routing" "health_check_staleness_threshold" "health_check_ignore_transient_errors";
    planned "with groups that are routed apart": "routing_groups" "enable_weighted_failover" "guardrail_list";
    not "requests do not queue by priority": "default_priority" "polling_interval";
    not "connections are kept for as long as they last": "client_ttl";
    not "a configuration with a mistake is refused whole": "ignore_invalid_deployments";
    not "it belongs to LiteLLM's own insides": "debug_level" "set_verbose" "router_general_settings" "alerting_config" "plugins";
    not "only chat completions and MCP are served": "assistants_config" "search_tools";
}

keys! { RETRY_POLICY of RetryPolicy;
    yes "BadRequestErrorRetries", "number", "`num_retries`", "Retries after status 400.";
    yes "AuthenticationErrorRetries", "number", "`num_retries`", "Retries after status 401.";
    yes "TimeoutErrorRetries", "number", "`num_retries`", "Retries after no answer in time.";
    yes "RateLimitErrorRetries", "number", "`num_retries`", "Retries after status 429.";
    yes "ContentPolicyViolationErrorRetries", "number", "`num_retries`", "Retries after a refusal by the content policy.";
    yes "InternalServerErrorRetries", "number", "`num_retries`", "Retries after status 5xx.";
}

keys! { ALLOWED_FAILS of AllowedFails;
    yes "BadRequestErrorAllowedFails", "number", "`allowed_fails`", "Failures with status 400.";
    yes "AuthenticationErrorAllowedFails", "number", "`allowed_fails`", "Failures with status 401.";
    yes "TimeoutErrorAllowedFails", "number", "`allowed_fails`", "Failures without an answer in time.";
    yes "RateLimitErrorAllowedFails", "number", "`allowed_fails`", "Failures with status 429.";
    yes "ContentPolicyViolationErrorAllowedFails", "number", "`allowed_fails`", "Refusals by the content policy.";
    yes "InternalServerErrorAllowedFails", "number", "`allowed_fails`", "Failures with status 5xx.";
}

keys! { STRATEGY_ARGS of StrategyArgs;
    yes "ttl", "seconds", "`3600`", "How long a measurement of `latency-based-routing` counts.";
    yes "lowest_latency_buffer", "number", "`0`", "The share by which a deployment may be slower than the fastest and still be chosen.";
    planned "with measurements that are counted": "max_latency_list_size";
}
